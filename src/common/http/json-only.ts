import type { NextFunction, Request, Response } from 'express';
import { AppError } from '../app-error.js';
import { invalid } from '../validation.js';

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

/** Refuses a body that is not JSON with 415 before anything reads it. No body, or an empty one, is `{}` to the routes. */
export function jsonOnly(request: Request, _response: Response, next: NextFunction): void {
  const { 'content-length': length, 'transfer-encoding': encoding, 'content-type': type = '' } = request.headers;
  const hasBody = encoding !== undefined || (length !== undefined && length !== '0');
  if (hasBody && !JSON_TYPE.test(type)) {
    next(new AppError('unsupported_media_type', 'http', 'The body must be JSON (Content-Type: application/json).'));
    return;
  }
  next();
}

/** Makes a missing body `{}`, so that a DTO without required fields needs none. */
export function missingBodyIsEmpty(request: Request, _response: Response, next: NextFunction): void {
  request.body ??= {};
  next();
}

/** Names the body when it is broken JSON. Nest would turn the parser's error into a 400 that no longer says what broke. */
export function brokenJson(
  error: { type?: unknown },
  _request: Request,
  _response: Response,
  next: NextFunction,
): void {
  next(
    error.type === 'entity.parse.failed' ? invalid('http', [{ field: 'body', message: 'must be valid JSON' }]) : error,
  );
}
