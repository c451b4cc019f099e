import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { AppError } from '../app-error.js';
import type { Stopping } from '../stopping.js';

/**
 * Refuses what arrives while the process stops, so that the caller tries another one: 503 with `Retry-After`. An event stream
 * gets an empty stream instead, because a browser's `EventSource` never comes back after a 503. Health is still answered.
 */
export function refuseWhileStopping({ signal }: Stopping): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    if (!signal.aborted || request.path.startsWith('/health/')) return next();
    response.set('Connection', 'close');
    if (request.headers.accept?.includes('text/event-stream')) {
      response.type('text/event-stream').set('Cache-Control', 'no-store').send('retry: 1000\n: stopping\n\n');
      return;
    }
    next(new AppError('redis_unavailable', 'http', 'The service is shutting down.', { retryAfterSeconds: 1 }));
  };
}
