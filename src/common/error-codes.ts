/** What an error code means on the wire. `docs/errors.md` has a section for each code, and a test compares the two. */
export interface ErrorCodeFacts {
  /** HTTP status. */
  readonly status: number;
  /** Short, constant, human-readable summary (RFC 9457 `title`). */
  readonly title: string;
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean;
}

/** Every code that the API answers, in the order of their HTTP status. */
export const ERROR_CODES = {
  project_id_invalid: { status: 400, title: 'The project id is not a UUID', retryable: false },
  validation_failed: { status: 400, title: 'The request is not valid', retryable: false },
  unauthenticated: { status: 401, title: 'No valid credential', retryable: false },
  forbidden: { status: 403, title: 'The credential does not allow this', retryable: false },
  not_found: { status: 404, title: 'Not found', retryable: false },
  conflict: { status: 409, title: 'The stored state does not allow this', retryable: false },
  stale_lease: { status: 409, title: 'The lease is no longer held', retryable: false },
  lock_lost: { status: 409, title: 'The lock is no longer held', retryable: false },
  payload_too_large: { status: 413, title: 'The payload is too large', retryable: false },
  unsupported_media_type: { status: 415, title: 'The body must be JSON', retryable: false },
  locked: { status: 423, title: 'The lock is held', retryable: true },
  rate_limited: { status: 429, title: 'The rate limit is used up', retryable: true },
  quota_exceeded: { status: 429, title: 'The quota is used up', retryable: true },
  queue_full: { status: 429, title: 'The queue is full', retryable: true },
  too_many_connections: { status: 429, title: 'Too many open connections', retryable: true },
  internal_error: { status: 500, title: 'Internal error', retryable: false },
  auth_unavailable: { status: 503, title: 'Credentials cannot be checked now', retryable: true },
  redis_unavailable: { status: 503, title: 'Redis gave no answer in time', retryable: true },
  storage_full: { status: 507, title: 'Redis has no memory left for this write', retryable: true },
} as const satisfies Record<string, ErrorCodeFacts>;

/** A machine-readable error code of the API. */
export type ErrorCode = keyof typeof ERROR_CODES;
