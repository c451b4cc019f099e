import { AppError } from '../common/app-error.js';
import { KeyError } from './key-builder.js';

/** Why Redis gave no usable answer. Only the breaker and the mapping below look at it. */
export class RedisTimeout extends Error {
  override readonly name = 'RedisTimeout';
}
export class BreakerOpen extends Error {
  override readonly name = 'BreakerOpen';
}

// Answers of a server that is there but cannot serve now: start-up, fail-over, resharding, a script over its time.
const PASSING = [
  'LOADING',
  'READONLY',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'BUSY',
  'NOREPLICAS',
  'MISCONF',
  'LATE',
];

/**
 * Maps every failure of a Redis call to the product's error codes, once, for all features.
 * Never shows a key, a host or an argument to the client.
 */
export function mapRedisError(error: unknown, op: string): AppError {
  if (error instanceof AppError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const word = message.split(' ', 1)[0] ?? '';
  if (isReply(error)) {
    if (word === 'OOM')
      return new AppError('storage_full', op, 'Redis has no memory left for this write.', {
        cause: error,
        retryAfterSeconds: 5,
      });
    if (word === 'WRONGTYPE')
      return new AppError('conflict', op, 'A key of this project holds a value of another kind.', { cause: error });
    if (word === 'REUSED')
      return new AppError('conflict', op, 'The Idempotency-Key was used before with another body.', { cause: error });
    if (!PASSING.includes(word))
      return new AppError('internal_error', op, 'Redis refused a command.', { cause: error });
  }
  if (isBug(error)) return new AppError('internal_error', op, 'The call to Redis was wrong.', { cause: error });
  return new AppError('redis_unavailable', op, 'Redis gave no answer in time. The call may have been executed.', {
    cause: error,
    retryAfterSeconds: 1,
  });
}

/** @returns whether Redis itself answered with an error, in contrast to a connection that failed. */
export function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

/** @returns whether our own code failed while it made the call: nothing that Redis or the connection did. */
export function isBug(error: unknown): boolean {
  return [AppError, KeyError, TypeError, RangeError, ReferenceError, SyntaxError].some((type) => error instanceof type);
}
