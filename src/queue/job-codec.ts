import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { check, invalid } from '../common/validation.js';
import { DEFAULT_ATTEMPTS, type JobRecord, type RawJob } from './queue.store.js';
import type { JobState, JobView, NewJob } from './queue.types.js';

/** A result is kept in the job's record for an hour, so it is bounded. */
const MAX_RESULT_BYTES = 262_144;
/** A task must fit a lease reply. */
const MAX_TASK_BYTES = 1_048_576;

/**
 * @param type the rules of the queue's tasks.
 * @param field where the client wrote the task.
 * @returns the job as it stands in Redis, its `project_id` first.
 * @throws AppError `validation_failed` naming the field, `payload_too_large`.
 */
export function encodeJob(projectId: ProjectId, type: new () => object, job: NewJob, field: string): RawJob {
  const task = check(type, job.task);
  if (Array.isArray(task)) {
    throw invalid(
      'queue.enqueue',
      task.map((error) => ({ ...error, field: error.field === '' ? field : `${field}.${error.field}` })),
    );
  }
  const raw = JSON.stringify({ project_id: projectId, ...task });
  if (Buffer.byteLength(raw) > MAX_TASK_BYTES)
    throw new AppError('payload_too_large', 'queue.enqueue', `${field}: a task may hold at most 1 MiB.`);
  return {
    raw,
    maxAttempts: job.maxAttempts ?? DEFAULT_ATTEMPTS,
    delayMs: (job.delaySeconds ?? 0) * 1000,
    dedupe: job.dedupeKey ?? '',
    operationId: job.operationId ?? '',
  };
}

/**
 * Others may push anything, and Lua's JSON knows NaN, which is none: a worker only sees tasks that its queue declared.
 * @returns the task with all its fields, or why nobody can work on it.
 */
export function readTask(
  type: new () => object,
  raw: string,
): { task: Record<string, unknown>; error?: never } | { task?: never; error: string } {
  let task: Record<string, unknown>;
  try {
    task = JSON.parse(raw) as Record<string, unknown>;
  } catch {
    return { error: 'unreadable: not JSON' };
  }
  const { project_id: _, ...fields } = task;
  const wrong = check(type, fields, { strict: false });
  return Array.isArray(wrong) ? { error: `task.${wrong[0]?.field} ${wrong[0]?.message}` } : { task };
}

/** @returns the JSON of a worker's result, '' for none. @throws AppError `validation_failed` naming the field. */
export function encodeResult(result: unknown, field: string): string {
  if (result === undefined || result === null) return '';
  const text = JSON.stringify(result);
  if (Buffer.byteLength(text) > MAX_RESULT_BYTES)
    throw invalid('queue.ack', [{ field, message: `must be at most ${MAX_RESULT_BYTES} bytes of JSON` }]);
  return text;
}

/** @returns the record as others see it. */
export function jobView(jobId: string, { position, due, deadline, fields }: JobRecord): JobView {
  const text = (name: string): string | undefined => fields.get(name);
  return {
    jobId,
    state: text('state') as JobState,
    attempts: Number(text('attempts')),
    maxAttempts: Number(text('max')),
    createdAt: Number(text('created_ms')),
    ...(text('error') === undefined ? {} : { lastError: text('error')! }),
    ...(text('result') === undefined ? {} : { result: JSON.parse(text('result')!) as unknown }),
    ...(text('operation') === undefined ? {} : { operationId: text('operation')! }),
    ...(text('finished_ms') === undefined ? {} : { finishedAt: Number(text('finished_ms')) }),
    ...(position < 0 ? {} : { position }),
    ...(due < 0 ? {} : { retryAt: due }),
    ...(deadline < 0 ? {} : { leaseExpiresAt: deadline }),
  };
}
