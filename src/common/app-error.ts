import { ERROR_CODES, type ErrorCode } from './error-codes.js';

/** One field that broke its rule. */
export interface FieldError {
  /** Path of the field, as the client wrote it: `jobs.3.task.doc_id`. */
  readonly field: string;
  readonly message: string;
}

/** What an error may carry beyond its code and its sentence. */
export interface AppErrorDetails {
  /** The error that led to this one; logged, never sent. */
  readonly cause?: unknown;
  /** The fields that broke their rules. */
  readonly errors?: readonly FieldError[];
  /** Name of the rule that refused: a rate limit's action or a quota's resource and window. */
  readonly rule?: string;
  /** Whole seconds after which a repetition can pass; sent as `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** Members added to the problem document, and headers to the response. */
  readonly members?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The one error class of the application. Services throw it; only the exception filter turns it into HTTP.
 * `message` is shown to the client: it names fields and limits, never keys, hosts, secrets or another project.
 */
export class AppError extends Error {
  override readonly name = 'AppError';

  constructor(
    /** What went wrong, for machines. */
    readonly code: ErrorCode,
    /** Where: `feature.operation`, for logs. */
    readonly op: string,
    message: string,
    readonly details: AppErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
  }

  /** Whether the same call may succeed later unchanged. */
  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

/** @returns whether `error` is an {@link AppError} with one of `codes` (any code when none is given). */
export function isAppError(error: unknown, ...codes: ErrorCode[]): error is AppError {
  return error instanceof AppError && (codes.length === 0 || codes.includes(error.code));
}
