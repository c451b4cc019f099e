import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { check, invalid } from '../common/validation.js';
import type { RawJob } from './queue.replies.js';
import { DEFAULT_ATTEMPTS } from './queue.store.js';
import type { NewJob } from './queue.types.js';

/** A result is kept in the job's record for an hour, so it is bounded. */
export const MAX_RESULT_BYTES = 262_144;
/** Of a dedupe key and an operation: a record says their length in two bytes. */
const MAX_NAME = 128;
/** A task must fit a lease reply. */
const MAX_TASK_BYTES = 1_048_576;

/**
 * @param field how an error names the task.
 * @returns the job with its task as it will stand in the list: `project_id` first.
 * @throws AppError `validation_failed`, `payload_too_large`
 */
export function encodeJob(projectId: ProjectId, type: new () => object, job: NewJob, field: string): RawJob {
  const task = check(type, job.task);
  if (Array.isArray(task)) {
    throw invalid(
      'queue.enqueue',
      task.map((error) => ({ ...error, field: error.field === '' ? field : `${field}.${error.field}` })),
    );
  }
  const { maxAttempts = DEFAULT_ATTEMPTS, delaySeconds = 0, dedupeKey = '', operationId = '' } = job;
  if (!(Number.isInteger(maxAttempts) && maxAttempts >= 1 && maxAttempts <= 100))
    throw invalid('queue.enqueue', [{ field: 'max_attempts', message: 'must be a whole number from 1 to 100' }]);
  if (dedupeKey.length > MAX_NAME || operationId.length > MAX_NAME)
    throw invalid('queue.enqueue', [
      { field: 'dedupe_key', message: `and operation_id: at most ${MAX_NAME} characters` },
    ]);
  const raw = JSON.stringify({ project_id: projectId, ...task });
  if (Buffer.byteLength(raw) > MAX_TASK_BYTES)
    throw new AppError('payload_too_large', 'queue.enqueue', `${field}: a task may hold at most 1 MiB.`);
  return {
    raw,
    maxAttempts,
    delayMs: delaySeconds * 1000,
    dedupe: dedupeKey,
    operationId,
  };
}

/** @returns the task, or what is wrong with it: others may push anything, and an owner may redrive it. */
export function decodeTask(
  projectId: ProjectId,
  type: new () => object,
  raw: string,
): { task: Record<string, unknown> } | { wrong: string } {
  const task = parse(raw);
  if (task === undefined) return { wrong: 'unreadable: not JSON' };
  if (String(task?.['project_id']).toLowerCase() !== projectId)
    return { wrong: 'unreadable: not JSON of this project' };
  const found = check(type, task, { strict: false });
  return Array.isArray(found) ? { wrong: `task.${found[0]?.field} ${found[0]?.message}` } : { task: task! };
}

// Lua's JSON knows NaN, which is none.
function parse(raw: string): Record<string, unknown> | null | undefined {
  try {
    return JSON.parse(raw) as Record<string, unknown> | null;
  } catch {
    return undefined;
  }
}

/** @returns JSON, or '' for no result. @throws AppError `validation_failed` */
export function encodeResult(result: unknown, field: string): string {
  if (result === undefined || result === null) return '';
  const text = JSON.stringify(result);
  if (Buffer.byteLength(text) > MAX_RESULT_BYTES)
    throw invalid('queue.ack', [{ field, message: `must be at most ${MAX_RESULT_BYTES} bytes of JSON` }]);
  return text;
}
