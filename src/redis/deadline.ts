import { RedisTimeout } from './redis-errors.js';

/** @returns what `ask` gives. @throws RedisTimeout when that takes longer than `timeoutMs`; what was sent may still run. */
export function withDeadline<T>(ask: () => Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const asked = ask();
    const timer = setTimeout(() => {
      // After a stall of our own event loop the answer may lie unread in the socket: let it be read first.
      setImmediate(() => reject(new RedisTimeout(`no answer within ${timeoutMs} ms`)));
    }, timeoutMs);
    asked.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error as Error);
      },
    );
  });
}
