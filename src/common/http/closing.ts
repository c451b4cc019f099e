import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { AppError } from '../app-error.js';

/** Answers 503 while the process stops, before the server is closed, so that a load balancer tries another instance. */
@Injectable()
export class Closing implements OnModuleDestroy {
  #closing = false;

  onModuleDestroy(): void {
    this.#closing = true;
  }

  readonly refuse = (request: Request, response: Response, next: NextFunction): void => {
    // A native EventSource never comes back after a 503: the stream's route turns it away in a way that it survives.
    if (!this.#closing || request.headers.accept?.includes('text/event-stream')) return next();
    response.set('Connection', 'close');
    next(new AppError('redis_unavailable', 'http', 'The service is shutting down.', { retryAfterSeconds: 1 }));
  };
}
