import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { ProgressService } from '../progress/progress.service.js';

/** What a job tells the project's event stream, when it reports as an operation. */
export interface JobReport {
  readonly status: 'started' | 'running' | 'completed' | 'failed' | 'cancelled';
  readonly stage?: string;
  readonly error?: string;
  readonly [field: string]: unknown;
}

/**
 * Publishes what happens to jobs that have an operation. Nobody waits for it: the events of one process leave in their
 * order on the connection that carried the cause. A failure to publish never fails the queue: it is logged.
 */
@Injectable()
export class JobEvents implements OnModuleDestroy {
  readonly #log = new Logger('JobEvents');
  readonly #pending = new Set<Promise<void>>();

  constructor(private readonly progress: ProgressService) {}

  /** @param operationId nothing happens without one. */
  report(projectId: ProjectId, queue: string, jobId: string, operationId: string | undefined, report: JobReport): void {
    if (operationId === undefined) return;
    const sent = this.#publish(projectId, queue, jobId, operationId, report);
    this.#pending.add(sent);
    void sent.finally(() => this.#pending.delete(sent));
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
