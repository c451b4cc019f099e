import type { Response } from 'express';

/** @returns a signal that fires when the client goes away before the answer was sent: for routes that wait. */
export function closeSignal(response: Response): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}
