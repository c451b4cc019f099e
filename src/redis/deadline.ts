import { monotonicMs } from '../common/time.js';
import { RedisTimeout } from './redis-errors.js';

/** Calls whose deadlines lie in the same slot share one timer: a timer for each would be a tenth of what a call costs. */
const SLOT_MS = 10;
const slots = new Map<number, Set<() => void>>();

/** @returns what `ask` gives. @throws RedisTimeout when that takes longer than `timeoutMs`; what was sent may still run. */
export function withDeadline<T>(ask: () => Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => within(timeoutMs, ask, resolve, reject));
}

/** {@link withDeadline} for callbacks, of which exactly one is called; the deadline is up to 10 ms late. */
export function within<T>(
  timeoutMs: number,
  ask: () => Promise<T>,
  succeed: (value: T) => void,
  fail: (error: unknown) => void,
): void {
  const slot = slotOf(timeoutMs);
  let over = false;
  const end = (): boolean => {
    if (over) return false;
    slot.delete(expire);
    return (over = true);
  };
  const expire = (): void => {
    // After a stall of our own event loop the answer may lie unread in the socket: let it be read first.
    setImmediate(() => {
      if (end()) fail(new RedisTimeout(`no answer within ${timeoutMs} ms`));
    });
  };
  slot.add(expire);
  try {
    ask().then(
      (value) => {
        if (end()) succeed(value);
      },
      (error: unknown) => {
        if (end()) fail(error);
      },
    );
  } catch (error) {
    end();
    fail(error);
  }
}

function slotOf(timeoutMs: number): Set<() => void> {
  const now = monotonicMs();
  const number = Math.ceil((now + timeoutMs) / SLOT_MS);
  let slot = slots.get(number);
  if (!slot) {
    const deadlines = (slot = new Set());
    slots.set(number, deadlines);
    setTimeout(
      () => {
        slots.delete(number);
        for (const expire of deadlines) expire();
      },
      number * SLOT_MS - now,
    ).unref();
  }
  return slot;
}
