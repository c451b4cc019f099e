import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { MetricsRegistry } from '../common/metrics-registry.js';
import { monotonicMs } from '../common/time.js';
import { Timings } from '../common/timings.js';

/**
 * Measures every answered request, refused ones too, by the pattern of its route and never by its path: a label per project
 * or document would grow without end. Event streams last for hours and are left out; progress counts them.
 */
export function httpMetrics({ registry }: MetricsRegistry): RequestHandler {
  const seconds = new Timings({
    name: 'http_request_duration_seconds',
    help: 'Time from the arrival of a request to the end of its answer, by method, route pattern and status.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registry,
  });
  return (request: Request, response: Response, next: NextFunction) => {
    const start = monotonicMs();
    response.once('close', () => {
      if (String(response.getHeader('content-type')).startsWith('text/event-stream')) return;
      const route = (request.route as { path?: string } | undefined)?.path ?? 'none';
      const status = response.writableFinished ? String(response.statusCode) : 'aborted';
      seconds.observe(monotonicMs() - start, request.method, route, status);
    });
    next();
  };
}
