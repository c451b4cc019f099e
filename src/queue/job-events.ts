import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { ProgressService } from '../progress/progress.service.js';
import { QueueMetrics } from './queue.metrics.js';
import type { Ending, Settled } from './queue.replies.js';

/** What a job tells the project's event stream, when it reports as an operation. */
export interface JobReport {
  readonly status: 'started' | 'running' | 'completed' | 'failed' | 'cancelled';
  readonly stage?: string;
  readonly error?: string;
  readonly [field: string]: unknown;
}

/**
 * Counts how jobs end, and publishes what happens to those that have an operation. Nobody waits for it: the events of one process leave in their
 * order on the connection that carried the cause. A failure to publish never fails the queue: it is logged.
 */
@Injectable()
export class JobEvents implements OnModuleDestroy {
  readonly #log = new Logger('JobEvents');
  readonly #pending = new Set<Promise<void>>();

  constructor(
    private readonly progress: ProgressService,
    private readonly metrics: QueueMetrics,
  ) {}

  /** @param operationId nothing happens without one. */
  report(projectId: ProjectId, queue: string, jobId: string, operationId: string | undefined, report: JobReport): void {
    if (operationId === undefined) return;
    const sent = this.#publish(projectId, queue, jobId, operationId, report);
    this.#pending.add(sent);
    void sent.finally(() => this.#pending.delete(sent));
  }

  /** A job was given back by its worker, or was before (`repeated`), or not (`stale`). */
  ended(projectId: ProjectId, queue: string, jobId: string, ending: Ending, error?: string): void {
    // It was told then.
    if (ending === 'repeated') return;
    if (ending === 'stale') return this.metrics.count(queue, 'stale');
    const { state, operationId } = ending;
    if (state === 'done') {
      this.metrics.count(queue, 'done');
      this.report(projectId, queue, jobId, operationId, { status: 'completed', stage: 'done' });
    } else if (state === 'dead') {
      this.metrics.count(queue, 'dead');
      this.report(projectId, queue, jobId, operationId, {
        status: 'failed',
        stage: 'dead',
        ...(error ? { error } : {}),
      });
    } else if (state !== 'cancelled') {
      this.metrics.count(queue, 'retried');
      this.report(projectId, queue, jobId, operationId, {
        status: 'running',
        stage: 'retrying',
        ...(error ? { message: error } : {}),
      });
    }
  }

  /** Leases have expired: whoever comes first finds it out, and tells it. */
  settled(projectId: ProjectId, queue: string, { expired, buried }: Settled): void {
    this.metrics.count(queue, 'expired', expired);
    for (const { jobId, ...operation } of buried)
      this.ended(projectId, queue, jobId, { state: 'dead', ...operation }, 'lease expired');
  }

  /** What is on its way goes out before the process ends. */
  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #publish(
    projectId: ProjectId,
    queue: string,
    jobId: string,
    operationId: string,
    report: JobReport,
  ): Promise<void> {
    try {
      await this.progress.publish(projectId, {
        type: 'job',
        data: { queue, job_id: jobId, ...report },
        operation_id: operationId,
      });
    } catch (error) {
      this.#log.warn({
        msg: 'a job event was not published',
        project_id: projectId,
        queue,
        reason: (error as Error).message,
      });
    }
  }
}
