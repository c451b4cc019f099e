import { rfc3339 } from '../common/time.js';
import type { EnqueueDto } from './dto/enqueue.dto.js';
import type { AckResultsDto, LeaseDto, LeasedJobDto } from './dto/lease.dto.js';
import type { LeaseOptions } from './lease.service.js';
import type { DeadLetterDto, JobDto, QueueDto } from './dto/queue.dto.js';
import type { AckOutcome, DeadLetter, DoneJob, JobView, LeasedJob, NewJob, QueueCounts } from './queue.types.js';

/** The wire's names and times on one side, the code's on the other. */
export function toNewJob({ task, options }: EnqueueDto): NewJob {
  return {
    task,
    ...given('delaySeconds', options?.delay_seconds),
    ...given('dedupeKey', options?.dedupe_key),
    ...given('maxAttempts', options?.max_attempts),
    ...given('operationId', options?.operation_id),
  };
}

export function toLeaseOptions(
  { max, lease_seconds, wait_seconds, request_id }: LeaseDto,
  signal: AbortSignal,
): LeaseOptions {
  const options = { max, leaseSeconds: lease_seconds, waitSeconds: wait_seconds, signal };
  return { ...options, ...given('requestId', request_id) };
}

export function toAckResults(done: readonly DoneJob[], outcomes: readonly AckOutcome[]): AckResultsDto {
  return { results: outcomes.map((one, i) => ({ job_id: done[i]!.jobId, status: one === 'done' ? 204 : 409 })) };
}

export function toLeasedJobDto(job: LeasedJob): LeasedJobDto {
  return {
    job_id: job.jobId,
    lease_token: job.leaseToken,
    attempt: job.attempt,
    task: job.task,
    ...given('operation_id', job.operationId),
    lease_expires_at: rfc3339(job.expiresAt),
  };
}

export function toQueueDto(counts: QueueCounts): QueueDto {
  return {
    queue: counts.queue,
    waiting: counts.waiting,
    leased: counts.leased,
    delayed: counts.delayed,
    dead: counts.dead,
    bytes: counts.bytes,
    order: counts.order,
    weight: counts.weight,
    paused: counts.paused,
    ...given('paused_reason', counts.pausedReason),
    oldest_age_seconds: counts.oldestAgeSeconds,
  };
}

export function toJobDto(job: JobView): JobDto {
  return {
    job_id: job.jobId,
    state: job.state,
    attempts: job.attempts,
    max_attempts: job.maxAttempts,
    created_at: rfc3339(job.createdAt),
    ...time('finished_at', job.finishedAt),
    ...given('last_error', job.lastError),
    ...given('result', job.result),
    ...given('operation_id', job.operationId),
    ...given('position', job.position),
    ...time('retry_at', job.retryAt),
    ...given('blocked_by', job.blockedBy),
    ...given('in_flight', job.inFlight),
    ...given('oldest_age_seconds', job.oldestAgeSeconds),
    ...time('lease_expires_at', job.leaseExpiresAt),
  };
}

export function toDeadLetterDto(letter: DeadLetter): DeadLetterDto {
  return {
    job_id: letter.jobId,
    attempts: letter.attempts,
    error: letter.error,
    died_at: rfc3339(letter.diedAt),
    task: letter.task,
  };
}

// A member that is not there is left out; null in a request means the same.
function given<K extends string, T>(name: K, value: T | null | undefined): { [N in K]?: T } {
  return (value === undefined || value === null ? {} : { [name]: value }) as { [N in K]?: T };
}

function time<K extends string>(name: K, epochMs: number | undefined): { [N in K]?: string } {
  return given(name, epochMs === undefined ? undefined : rfc3339(epochMs));
}
