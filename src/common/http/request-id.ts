import type { NextFunction, Request, Response } from 'express';
import { isName } from '../names.js';
import { randomId } from '../tokens.js';

// Unique over processes by its random part, within one by its number; an id is no secret, and this stands before every request.
const PROCESS = randomId().slice(0, 10);
let count = 0;

/** Gives each request an id: the caller's `X-Request-Id` when it is a name, else a new one; the answer repeats it. */
export function requestId(request: Request & { id?: string }, response: Response, next: NextFunction): void {
  const given = request.headers['x-request-id'];
  request.id = isName(given) ? given : `${PROCESS}-${(count += 1).toString(36)}`;
  response.setHeader('X-Request-Id', request.id);
  next();
}
