import type { NextFunction, Request, RequestHandler, Response } from 'express';

/** Runs several handlers as one: Express matches the path anew, and allocates, for each that it knows of. */
export function chain(...handlers: readonly RequestHandler[]): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    let at = 0;
    const step = (error?: unknown): unknown => {
      const handler = error === undefined ? handlers[at++] : undefined;
      return handler ? handler(request, response, step) : next(error);
    };
    step();
  };
}
