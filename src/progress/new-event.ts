import { AppError, type FieldError } from '../common/app-error.js';
import { isName } from '../common/names.js';
import { invalid } from '../common/validation.js';
import { readUpdate } from './operation-state.js';
import type { NewEvent } from './progress.scripts.js';

/** What a module or a client publishes. */
export interface PublishedEvent {
  /** 1 to 128 characters without control characters; `$` at the beginning is the stream's own. */
  readonly type: string;
  /** Any JSON; with an operation its members `status`, `done`, `total`, … become the operation's state. */
  readonly data: unknown;
  readonly operation_id?: string | undefined;
}

/** Types that others may publish: no `$`, which is the stream's own, and nothing that could break a line of the stream. */
export const TYPE_PATTERN = /^(?!\$)[^\p{Cc}]{1,128}$/u;
export const TYPE_RULE = 'must be 1 to 128 characters without control characters and must not begin with $';

/** Largest event, in bytes of its JSON without the id. */
export const MAX_EVENT_BYTES = 65_536;

/**
 * Makes an event ready for the log.
 * @throws AppError `validation_failed`, `payload_too_large`
 */
export function toNewEvent(event: PublishedEvent): NewEvent {
  const { type, data, operation_id: operationId } = event;
  const errors: FieldError[] = [];
  if (typeof type !== 'string' || !TYPE_PATTERN.test(type)) errors.push({ field: 'type', message: TYPE_RULE });
  if (operationId !== undefined && !isName(operationId))
    errors.push({ field: 'operation_id', message: 'must be a name' });
  const { update, errors: dataErrors } = readUpdate(data);
  if (operationId !== undefined) errors.push(...dataErrors);
  if (errors.length > 0) throw invalid('progress.publish', errors);
  return { body: body(event), operationId, update };
}

/**
 * Reads a message that another program published. What it says wrongly about its operation is left out of the state.
 * @returns `undefined` for what is no event: broken JSON, no `type`, one of the stream's own types, an `id`, over 64 KiB.
 */
export function fromMessage(message: string): NewEvent | undefined {
  let plain: unknown;
  try {
    plain = JSON.parse(message);
  } catch {
    return undefined;
  }
  if (typeof plain !== 'object' || plain === null || 'id' in plain) return undefined;
  const { type, data, operation_id: named } = plain as Record<string, unknown>;
  if (typeof type !== 'string' || !TYPE_PATTERN.test(type)) return undefined;
  const operation = named ?? (data as { operation_id?: unknown } | null | undefined)?.operation_id;
  const operationId = isName(operation) ? operation : undefined;
  try {
    return { body: body({ type, data, operation_id: operationId }), operationId, update: readUpdate(data).update };
  } catch {
    return undefined;
  }
}

/** The event that ends an operation whose worker stopped reporting. */
export function lostEvent(operationId: string): NewEvent {
  return toNewEvent({ type: 'failed', data: { status: 'failed', error: 'lost' }, operation_id: operationId });
}

// Without its closing brace: the script adds the id, which only it knows, and which so stands last.
function body({ type, data, operation_id }: PublishedEvent): string {
  const json = JSON.stringify({ type, data: data ?? {}, operation_id });
  if (Buffer.byteLength(json) > MAX_EVENT_BYTES) {
    throw new AppError('payload_too_large', 'progress.publish', 'An event may have at most 64 KiB.');
  }
  return json.slice(0, -1);
}
