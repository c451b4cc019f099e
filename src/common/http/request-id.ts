import type { NextFunction, Request, Response } from 'express';
import { isName } from '../names.js';
import { randomId } from '../tokens.js';

/** Gives each request an id: the caller's `X-Request-Id` when it is a name, else a new one; the answer repeats it. */
export function requestId(request: Request & { id?: string }, response: Response, next: NextFunction): void {
  const given = request.headers['x-request-id'];
  request.id = isName(given) ? given : randomId();
  response.set('X-Request-Id', request.id);
  next();
}
