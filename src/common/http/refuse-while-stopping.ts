import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { AppError } from '../app-error.js';
import type { Stopping } from '../stopping.js';

/**
 * Refuses what arrives while the process stops with 503 and `Retry-After`, so that the caller tries another one. Health is
 * still answered, and an event stream ends itself: a browser's `EventSource` would never come back after a 503.
 */
export function refuseWhileStopping({ signal }: Stopping): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    if (!signal.aborted) return next();
    response.set('Connection', 'close');
    if (request.path.startsWith('/health/') || request.headers.accept?.includes('text/event-stream')) return next();
    next(new AppError('redis_unavailable', 'http', 'The service is shutting down.', { retryAfterSeconds: 1 }));
  };
}
