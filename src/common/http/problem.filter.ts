import { STATUS_CODES } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { Request, Response } from 'express';
import { AppError } from '../app-error.js';
import { ERROR_CODES, type ErrorCode } from '../error-codes.js';

/**
 * The only place that turns an error into HTTP: RFC 9457 `application/problem+json` for everything, with a stable `code`.
 * An unexpected error is logged whole and answered as `internal_error`, without a word of what it was.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #log = new Logger('Http');

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const error = toAppError(thrown);
    if (error.code === 'internal_error')
      this.#log.error({ msg: 'unexpected error', op: error.op, err: describe(thrown) });
    if (response.headersSent) {
      response.end();
      return;
    }
    const { errors, rule, retryAfterSeconds, members, headers } = error.details;
    if (headers) response.set(headers);
    if (retryAfterSeconds !== undefined) response.set('Retry-After', String(Math.max(1, Math.ceil(retryAfterSeconds))));
    if (error.status === 401) response.set('WWW-Authenticate', 'Bearer');
    response
      .status(error.status)
      .set('Cache-Control', 'no-store')
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: `urn:problem:${error.code}`,
          title: ERROR_CODES[error.code].title,
          status: error.status,
          detail: error.message,
          instance: request.path,
          code: error.code,
          ...(rule === undefined ? {} : { rule }),
          ...(errors === undefined ? {} : { errors }),
          ...members,
        }),
      );
  }
}

// What Nest, Express and body-parser throw by themselves, by their HTTP status.
const BY_STATUS: Record<number, [ErrorCode, string]> = {
  400: ['validation_failed', 'The request cannot be read.'],
  401: ['unauthenticated', 'No valid credential.'],
  403: ['forbidden', 'The credential does not allow this.'],
  404: ['not_found', 'There is no such route.'],
  405: ['not_found', 'There is no such route.'],
  413: ['payload_too_large', 'The body is larger than allowed.'],
  415: ['unsupported_media_type', 'The body must be JSON in UTF-8.'],
};

function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const status = thrown instanceof HttpException ? thrown.getStatus() : statusOf(thrown);
  const known = status === undefined ? undefined : BY_STATUS[status];
  if (!known) return new AppError('internal_error', 'http', 'Something went wrong on our side.', { cause: thrown });
  return new AppError(known[0], 'http', known[1], { cause: thrown });
}

// http-errors of Express middleware carry `status` and `expose`; anything else that has a status is no answer of ours.
function statusOf(thrown: unknown): number | undefined {
  const { status, expose } = (thrown ?? {}) as { status?: unknown; expose?: unknown };
  return typeof status === 'number' && expose === true && status in STATUS_CODES ? status : undefined;
}

function describe(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = (thrown as AppError).details?.cause ?? thrown.cause;
  return {
    name: thrown.name,
    message: thrown.message,
    stack: thrown.stack,
    ...(cause === undefined ? {} : { cause: describe(cause) }),
  };
}
