import type { NextFunction, Request, Response } from 'express';
import { AppError } from '../app-error.js';
import { invalid } from '../validation.js';
import { findShapeProblem } from './json-shape.js';

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

/**
 * Before the parser: refuses a body that is not JSON with 415 before anything reads it, and makes a missing body `{}`, so
 * that a DTO without required fields needs none.
 */
export function jsonOnly(request: Request, _response: Response, next: NextFunction): void {
  const { 'content-length': length, 'transfer-encoding': encoding, 'content-type': type = '' } = request.headers;
  if (encoding === undefined && (length === undefined || length === '0')) request.body = {};
  else if (!JSON_TYPE.test(type)) {
    next(new AppError('unsupported_media_type', 'http', 'The body must be JSON (Content-Type: application/json).'));
    return;
  }
  next();
}

/** After the parser: refuses what is nested too deeply or uses a reserved name, with 400 that names the place. */
export function jsonShape(request: Request, _response: Response, next: NextFunction): void {
  request.body ??= {};
  const problem = findShapeProblem(request.body);
  next(problem ? invalid('http', [problem]) : undefined);
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
