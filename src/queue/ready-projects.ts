import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { ProjectScan } from '../redis/project-scan.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { RedisSubscriber } from '../redis/redis-subscriber.js';
import { QueueKeys } from './queue.keys.js';

const SWEEP_MS = 900;
const DISCOVERY_MS = 30_000;
const FORGET_AFTER_MS = 3_600_000;

/**
 * Which projects have work in a queue, for the consumers of this process. Three sources: wake-ups (at once), a sweep over
 * the projects that are known (0.9 s; finds what others pushed and what became due), and a paced background scan (at
 * start and every 30 s; finds projects never heard of). Nothing about projects is kept in Redis.
 */
@Injectable()
export class ReadyProjects implements OnModuleDestroy {
  readonly #log = new Logger('ReadyProjects');
  readonly #watched = new Map<string, { known: Map<ProjectId, number>; ready: (projectId: ProjectId) => void }>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #closing = new AbortController();
  #started = false;

  constructor(
    private readonly gateway: RedisGateway,
    private readonly subscriber: RedisSubscriber,
    private readonly keys: QueueKeys,
    private readonly scan: ProjectScan,
  ) {}

  /** Calls `ready` whenever a project may have work in the queue; it may be called for nothing, never too late. */
  async watch(queue: string, ready: (projectId: ProjectId) => void): Promise<void> {
    this.#watched.set(queue, { known: new Map(), ready });
    if (this.#started) return;
    this.#started = true;
    await this.subscriber.onWake((projectId, name) => {
      const watch = this.#watched.get(name);
      if (watch) this.#meet(watch, projectId);
    });
    this.#every(SWEEP_MS, () => this.#sweep());
    this.#every(DISCOVERY_MS, () => this.#discover(), { atOnce: true });
  }

  onModuleDestroy(): void {
    this.#closing.abort();
    for (const timer of this.#timers) clearInterval(timer);
  }

  #meet(watch: { known: Map<ProjectId, number>; ready: (projectId: ProjectId) => void }, projectId: ProjectId): void {
    watch.known.set(projectId, Date.now());
    watch.ready(projectId);
  }

  // Each pass is skipped while the one before still runs, and a failure (Redis away) is the next pass's affair.
  #every(ms: number, work: () => Promise<void>, { atOnce = false } = {}): void {
    let running = false;
    const pass = (): void => {
      if (running) return;
      running = true;
      void work()
        .catch((error: unknown) => this.#log.debug((error as Error).message))
        .finally(() => {
          running = false;
        });
    };
    this.#timers.push(setInterval(pass, ms).unref());
    if (atOnce) pass();
  }

  async #sweep(): Promise<void> {
    for (const [queue, watch] of this.#watched) {
      const { known } = watch;
      await Promise.all(
        [...known].map(async ([projectId, seen]) => {
          const work = this.keys.work(projectId, queue);
          const found = await this.gateway.call('state', 'queue.sweep', (client) => client.exists(...work));
          if (found > 0) this.#meet(watch, projectId);
          else if (Date.now() - seen > FORGET_AFTER_MS) known.delete(projectId);
        }),
      );
    }
  }

  async #discover(): Promise<void> {
    for (const [queue, watch] of this.#watched) {
      for await (const projectId of this.scan.projectsWithQueue(queue, this.#closing.signal))
        this.#meet(watch, projectId);
    }
  }
}
