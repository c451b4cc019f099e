import type { Response } from 'express';

/** @returns a signal that fires when the client goes away before the answer was sent: for routes that wait. */
export function closeSignal(response: Response): AbortSignal {
  const controller = new AbortController();
  const closed = (): void => {
    if (!response.writableFinished) controller.abort();
  };
  // It may have gone before the route was reached: nothing tells it a second time.
  if (response.closed || response.destroyed) closed();
  else response.once('close', closed);
  return controller.signal;
}
