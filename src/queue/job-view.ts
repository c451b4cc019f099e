import type { JobRecord } from './queue.replies.js';
import type { JobState, JobView, QueueCounts } from './queue.types.js';

/** A job as others see it: its record, and why it does not run. */
export function jobView(jobId: string, job: JobRecord, counts: QueueCounts, maxLeased: number): JobView {
  const text = (name: string): string | undefined => job.fields.get(name);
  const state = text('state') as JobState;
  return {
    jobId,
    state,
    attempts: Number(text('attempts')),
    maxAttempts: Number(text('max')),
    createdAt: Number(text('created_ms')),
    ...(text('error') === undefined ? {} : { lastError: text('error')! }),
    ...(text('result') === undefined ? {} : { result: JSON.parse(text('result')!) as unknown }),
    ...(text('operation') === undefined ? {} : { operationId: text('operation')! }),
    ...(text('finished_ms') === undefined ? {} : { finishedAt: Number(text('finished_ms')) }),
    ...(state === 'waiting' || state === 'delayed' ? why(state, counts, maxLeased) : {}),
    ...(job.position < 0 ? {} : { position: job.position }),
    ...(job.due < 0 ? {} : { retryAt: job.due }),
    ...(job.deadline < 0 ? {} : { leaseExpiresAt: job.deadline }),
  };
}

function why(
  state: JobState,
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
