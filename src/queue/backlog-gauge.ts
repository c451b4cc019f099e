import { Injectable, type OnModuleInit } from '@nestjs/common';
import { type Backlog, QueueMetrics } from './queue.metrics.js';
import { QueueService } from './queue.service.js';
import type { QueueCounts } from './queue.types.js';
import { ReadyProjects } from './ready-projects.js';

/** Projects of a queue that a scrape asks Redis about: those whose lists have not been empty for longest. */
const ASKED = 50;

/**
 * How far consumers are behind, as gauges without a project: of the projects whose lists held something when this process
 * looked last. A process without consumers and waiting polls looks at none, and says nothing.
 */
@Injectable()
export class BacklogGauge implements OnModuleInit {
  constructor(
    private readonly projects: ReadyProjects,
    private readonly queues: QueueService,
    private readonly metrics: QueueMetrics,
  ) {}

  onModuleInit(): void {
    this.metrics.gaugeBacklog(() => this.#look());
  }

  async #look(): Promise<Backlog[]> {
    const busy = [...this.projects.busy()];
    return Promise.all(
      busy.map(async ([queue, projects]) => {
        // What cannot be read, or Redis being away, is told elsewhere.
        const asked = projects.slice(0, ASKED).map((each) => this.queues.counts(each, queue).catch(() => undefined));
        const counts = (await Promise.all(asked)).filter((each): each is QueueCounts => each !== undefined);
        return {
          queue,
          projects: projects.length,
          jobs: Math.max(0, ...counts.map(({ waiting }) => waiting)),
          ageSeconds: Math.max(0, ...counts.map(({ oldestAgeSeconds }) => oldestAgeSeconds ?? 0)),
        };
      }),
    );
  }
}
