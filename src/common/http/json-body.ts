import { json, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { AppError } from '../app-error.js';
import { invalid } from '../validation.js';
import { findShapeProblem } from './json-shape.js';

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

/**
 * Reads JSON bodies of at most `limit` bytes. A missing body is `{}`, so that a DTO without required fields needs none; what
 * is not JSON is refused with 415 before anything reads it, broken JSON with 400, and so is what is nested too deeply or uses
 * a reserved name.
 */
export function jsonBody(limit: number): RequestHandler {
  const parse = json({ limit, type: () => true, strict: true });
  return (request: Request, response: Response, next: NextFunction) => {
    const { 'content-length': length, 'transfer-encoding': encoding, 'content-type': type = '' } = request.headers;
    if (encoding === undefined && (length === undefined || length === '0')) {
      request.body = {};
      return next();
    }
    if (!JSON_TYPE.test(type)) {
      return next(
        new AppError('unsupported_media_type', 'http', 'The body must be JSON (Content-Type: application/json).'),
      );
    }
    parse(request, response, (error?: unknown) => {
      request.body ??= {};
      next(error ? named(error) : shapeProblem(request.body));
    });
  };
}

// Nest would turn the parser's error into a 400 that no longer says what broke.
function named(error: unknown): unknown {
  const broken = (error as { type?: unknown }).type === 'entity.parse.failed';
  return broken ? invalid('http', [{ field: 'body', message: 'must be valid JSON' }]) : error;
}

function shapeProblem(body: unknown): AppError | undefined {
  const problem = findShapeProblem(body);
  return problem && invalid('http', [problem]);
}
