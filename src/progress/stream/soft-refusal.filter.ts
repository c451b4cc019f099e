import { type ArgumentsHost, Catch } from '@nestjs/common';
import type { Request, Response } from 'express';
import { isAppError } from '../../common/app-error.js';
import { ProblemFilter } from '../../common/http/problem.filter.js';
import { SseWriter } from './sse-writer.js';

/** Whether the client is an `EventSource`, or reads like one. */
export function isEventSource(request: Request): boolean {
  return /\btext\/event-stream\b/i.test(request.headers.accept ?? '');
}

/**
 * Refuses a stream. A native EventSource never comes back after a 4xx or 5xx, so what passes by itself is told to it by an
 * empty stream with a `retry`, whoever refuses: the guard that finds no Redis to ask for the session, too.
 */
@Catch()
export class SoftRefusalFilter extends ProblemFilter {
  override catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const response = http.getResponse<Response>();
    const passing = isAppError(thrown) && thrown.retryable;
    if (passing && !response.headersSent && isEventSource(http.getRequest<Request>())) {
      new SseWriter(response).end(thrown.code);
    } else {
      // oxlint-disable-next-line promise/valid-params -- not a promise
      super.catch(thrown, host);
    }
  }
}
