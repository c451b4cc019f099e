import { SetMetadata } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import type { LeasedJob } from './queue.types.js';

export const QUEUE_CONSUMER = 'queue:consumer';

export interface ConsumerOptions {
  /** Jobs at a time in this process, over all projects. 1–10,000, default 1. */
  readonly concurrency?: number;
  /**
   * How long a crash goes unnoticed: length of a lease, which is renewed while the handler runs, also while that blocks the
   * event loop. 1–3,600, default 60.
   */
  readonly leaseSeconds?: number;
  /**
   * How long one delivery may take: then the lease is renewed no longer, `signal` fires, and the job comes back, so that a
   * handler which hangs does not keep its job for ever. 1–86,400, default 3,600.
   */
  readonly maxHoldSeconds?: number;
}

const MOST: Required<ConsumerOptions> = { concurrency: 10_000, leaseSeconds: 3600, maxHoldSeconds: 86_400 };

/**
 * A provider of any module that works on a queue's jobs, of all projects.
 *
 * At least once: a job may be handled again after a crash or a lost lease, so make its effects repeatable. What the
 * handler returns is the job's result; what it throws sends the job to its retry.
 */
export interface JobHandler {
  /** @param signal fires when the job was cancelled, the lease was lost, or the process stops: stop soon then. */
  handle(projectId: ProjectId, job: LeasedJob, signal: AbortSignal): Promise<unknown>;
}

/** Marks a {@link JobHandler} as the consumer of a queue. @throws RangeError for an option out of its range. */
export function QueueConsumer(queue: string, options: ConsumerOptions = {}): ClassDecorator {
  for (const [name, most] of Object.entries(MOST) as [keyof ConsumerOptions, number][]) {
    const value = options[name] ?? 1;
    if (!(value >= 1 && value <= most)) throw new RangeError(`${name} of the consumer of ${queue} must be 1–${most}`);
  }
  return SetMetadata(QUEUE_CONSUMER, { queue, ...options });
}
