import type { JobRecord } from './queue.replies.js';
import type { JobView, QueueCounts } from './queue.types.js';

/** A job as others see it: its record, and why it does not run. */
export function jobView(jobId: string, job: JobRecord, counts: QueueCounts, maxLeased: number): JobView {
  const { state } = job;
  return {
    jobId,
    state,
    attempts: job.attempts,
    maxAttempts: job.max,
    createdAt: job.created,
    ...(job.error === '' ? {} : { lastError: job.error }),
    ...(job.result === '' ? {} : { result: JSON.parse(job.result) as unknown }),
    ...(job.operationId === '' ? {} : { operationId: job.operationId }),
    ...(job.finished < 0 ? {} : { finishedAt: job.finished }),
    ...(state === 'waiting' || state === 'delayed' ? why(state, counts, maxLeased) : {}),
    ...(job.position < 0 ? {} : { position: job.position }),
    ...(job.due < 0 ? {} : { retryAt: job.due }),
    ...(job.deadline < 0 ? {} : { leaseExpiresAt: job.deadline }),
  };
}

function why(
  state: JobView['state'],
  counts: QueueCounts,
  maxLeased: number,
): Pick<JobView, 'blockedBy' | 'inFlight' | 'oldestAgeSeconds'> {
  const max = counts.order === 'strict' ? 1 : maxLeased;
  let blockedBy: JobView['blockedBy'];
  if (counts.pausedReason) blockedBy = counts.pausedReason === 'owner' ? 'paused' : counts.pausedReason;
  else if (state === 'delayed') blockedBy = 'delay';
  else if (counts.leased >= max) blockedBy = 'in_flight';
  return {
    inFlight: { now: counts.leased, max },
    oldestAgeSeconds: counts.oldestAgeSeconds,
    ...(blockedBy ? { blockedBy } : {}),
  };
}
