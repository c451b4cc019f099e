import type { FieldError } from '../common/app-error.js';
import { rfc3339 } from '../common/time.js';
import { type Cursor, parseCursor } from './cursor.js';

export const OPERATION_STATUSES = ['started', 'running', 'completed', 'failed', 'cancelled'] as const;
export type OperationStatus = (typeof OPERATION_STATUSES)[number];

/** How far an operation is, as the API shows it. Unknown is `null`. */
export interface OperationState {
  operation_id: string;
  status: OperationStatus;
  stage: string | null;
  done: number | null;
  total: number | null;
  message: string | null;
  started_at: string;
  updated_at: string;
  /** When it will be over, if it goes on as it did. */
  eta?: { earliest: string; latest: string };
  error?: string;
  text_length?: number;
  text_truncated?: boolean;
  text?: string;
}

/** What one event says about its operation. */
export interface OperationUpdate {
  readonly status: OperationStatus;
  /** Fields of the stored state that change, and their values. */
  readonly fields: readonly string[];
  readonly text?: { readonly off: number; readonly bytes: string };
  readonly leaseMs?: number;
}

/** Whether nothing follows any more, but a new start. */
export function isTerminal(status: string): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

const MAX_LEASE_SECONDS = 86_400;
const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isOffset = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === 'string';
const isLease = (value: unknown): value is number => isCount(value) && value > 0 && value <= MAX_LEASE_SECONDS;
const isStatus = (value: unknown): value is OperationStatus => OPERATION_STATUSES.includes(value as OperationStatus);

/** The state keeps the beginning of what people read; the event has all of it. */
const KEPT = { stage: 200, message: 1000, error: 1000 } as const;

/**
 * Reads what an event's `data` says about its operation.
 * @returns the update, and the members that broke their rule and were left out of it.
 */
export function readUpdate(data: unknown): { update: OperationUpdate; errors: FieldError[] } {
  const errors: FieldError[] = [];
  const source = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  const take = <T>(name: string, is: (value: unknown) => value is T, rule: string): T | undefined => {
    const value = source[name];
    if (value === undefined || value === null) return undefined;
    if (is(value)) return value;
    errors.push({ field: `data.${name}`, message: rule });
    return undefined;
  };

  const status = take('status', isStatus, `must be one of ${OPERATION_STATUSES.join(', ')}`) ?? 'running';
  const fields: string[] = [];
  for (const name of ['done', 'total'] as const) {
    const count = take(name, isCount, 'must be a number of at least 0');
    if (count !== undefined) fields.push(name, String(count));
  }
  for (const name of ['stage', 'message', 'error'] as const) {
    const text = take(name, isText, 'must be a string');
    if (text !== undefined) fields.push(name, text.slice(0, KEPT[name]));
  }
  const lease = take('lease_seconds', isLease, `must be a number of seconds up to ${MAX_LEASE_SECONDS}`);
  const off = take('off', isOffset, 'must be a whole number of bytes');
  // Without `off`, `text` is data like any other.
  const text = off === undefined ? undefined : take('text', isText, 'must be a string');
  return {
    update: {
      status,
      fields,
      ...(lease === undefined ? {} : { leaseMs: Math.round(lease * 1000) }),
      ...(off === undefined || text === undefined ? {} : { text: { off, bytes: text } }),
    },
    errors,
  };
}

const MIN_SAMPLES = 3;

/**
 * When a running operation will be over, from what its units of work have taken so far.
 * @returns `undefined` when that is not known: no total, too few counts, or nothing counted for longer than a unit ever takes.
 */
function etaOf(number: (name: string) => number | null, nowMs: number): OperationState['eta'] {
  const [done, total, countedAt] = [number('done'), number('total'), number('counted_at')];
  const [pace, spread] = [number('pace'), number('spread')];
  if (done === null || total === null || countedAt === null || pace === null || spread === null) return undefined;
  if (done >= total || (number('samples') ?? 0) < MIN_SAMPLES) return undefined;
  const slowest = pace + 2 * spread;
  const latest = countedAt + (total - done) * slowest;
  if (nowMs > latest || nowMs > countedAt + Math.max(4 * slowest, 1000)) return undefined;
  const earliest = Math.max(nowMs, countedAt + (total - done) * Math.max(pace - 2 * spread, pace / 4));
  return { earliest: rfc3339(Math.floor(earliest)), latest: rfc3339(Math.ceil(Math.max(latest, earliest))) };
}

/** What Redis stores about an operation. */
export interface StoredOperation {
  readonly state: OperationState;
  /** Id of the event that made the state what it is. */
  readonly cursor: Cursor | undefined;
  /** Whether an event has ended it; one that is lost has no such event before somebody writes it. */
  readonly ended: boolean;
}

/**
 * Turns the stored fields into the state. Whoever promised to report and did not is shown as `failed`, `lost`, also before
 * anybody has written that down.
 * @param fields names and values as `HGETALL` answers them. @param nowMs Redis time. @param text shown when there is any.
 */
export function toState(operationId: string, fields: readonly string[], nowMs: number, text?: string): StoredOperation {
  const stored = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) stored.set(fields[i]!, fields[i + 1]!);
  const number = (name: string): number | null => (stored.has(name) ? Number(stored.get(name)) : null);
  const lostAt = Number(stored.get('lost_at'));
  const status = (stored.get('status') ?? 'running') as OperationStatus;
  const lost = !isTerminal(status) && lostAt > 0 && lostAt <= nowMs;
  const eta = lost || isTerminal(status) ? undefined : etaOf(number, nowMs);
  const error = lost ? 'lost' : stored.get('error');
  return {
    state: {
      operation_id: operationId,
      status: lost ? 'failed' : status,
      stage: stored.get('stage') ?? null,
      done: number('done'),
      total: number('total'),
      message: stored.get('message') ?? null,
      started_at: rfc3339(Number(stored.get('started_at'))),
      updated_at: rfc3339(Number(stored.get('updated_at'))),
      ...(eta === undefined ? {} : { eta }),
      ...(error === undefined ? {} : { error }),
      ...(stored.has('text_length') ? { text_length: Number(stored.get('text_length')) } : {}),
      ...(stored.has('text_truncated') ? { text_truncated: true } : {}),
      ...(stored.has('text_length') && text !== undefined ? { text } : {}),
    },
    cursor: parseCursor(stored.get('event_id')),
    ended: isTerminal(status),
  };
}
