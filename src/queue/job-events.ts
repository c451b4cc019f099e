import { Injectable, Logger } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { ProgressService } from '../progress/progress.service.js';

/** What a job tells the project's event stream, when it reports as an operation. */
export interface JobReport {
  readonly status: 'started' | 'running' | 'completed' | 'failed' | 'cancelled';
  readonly stage?: string;
  readonly error?: string;
  readonly [field: string]: unknown;
}

/** Publishes what happens to jobs that have an operation. A failure to publish never fails the queue: it is logged. */
@Injectable()
export class JobEvents {
  readonly #log = new Logger('JobEvents');

  constructor(private readonly progress: ProgressService) {}

  /** @param operationId nothing happens without one. */
  async report(
    projectId: ProjectId,
    queue: string,
    jobId: string,
    operationId: string | undefined,
    report: JobReport,
  ): Promise<void> {
    if (operationId === undefined) return;
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
