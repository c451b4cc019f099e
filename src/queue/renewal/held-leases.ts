import { monotonicMs } from '../../common/time.js';
import { CALL_TIMEOUT_MS } from '../../redis/connection-options.js';
import type { RedisClock } from '../../redis/redis-clock.js';
import type { QueueStore } from '../queue.store.js';
import type { HeldLease, Loss } from './messages.js';

/** Three times as often as needed, so that a cancellation arrives soon and one failure is not the end. */
const RENEWALS = 9;
const LEAST_MS = 100;

interface Held {
  readonly lease: HeldLease;
  readonly everyMs: number;
  readonly timer: NodeJS.Timeout;
  readonly limit: NodeJS.Timeout;
  /** Until when the lease is ours for certain; of the monotonic clock. */
  deadline: number;
  asking: boolean;
}

/** Prolongs leases, each on its own clock, until it is dropped or lost; the loss is told once. */
export class HeldLeases {
  readonly #held = new Map<number, Held>();

  constructor(
    private readonly store: QueueStore,
    private readonly clock: RedisClock,
    private readonly lost: (id: number, why: Loss) => void,
  ) {}

  hold(lease: HeldLease): void {
    const { id, leaseMs, expiresAt, maxHoldMs } = lease;
    const everyMs = Math.max(leaseMs / RENEWALS, LEAST_MS);
    const leftMs = Math.min(expiresAt - this.clock.now('state'), leaseMs);
    const held: Held = {
      lease,
      everyMs,
      timer: setInterval(() => void this.#renew(held), everyMs),
      limit: setTimeout(() => this.#lose(held, 'too_long'), maxHoldMs),
      deadline: monotonicMs() + leftMs,
      asking: false,
    };
    this.#held.set(id, held);
    // It lay unread for a while, since the process was busy.
    if (leftMs < leaseMs - 2 * everyMs) void this.#renew(held);
  }

  drop(id: number): void {
    const held = this.#held.get(id);
    if (!held) return;
    clearInterval(held.timer);
    clearTimeout(held.limit);
    this.#held.delete(id);
  }

  clear(): void {
    for (const id of this.#held.keys()) this.drop(id);
  }

  async #renew(held: Held): Promise<void> {
    if (held.asking) return;
    held.asking = true;
    const { projectId, queue, jobId, leaseToken, leaseMs } = held.lease;
    const sent = monotonicMs();
    try {
      const renewed = await this.store.extend(projectId, queue, jobId, leaseToken, leaseMs);
      held.deadline = sent + leaseMs;
      if (!renewed) this.#lose(held, 'stale');
      else if (renewed.cancelled) this.#lose(held, 'cancelled');
    } catch {
      // The handler is told before the lease can be another's.
      if (monotonicMs() > held.deadline - held.everyMs - CALL_TIMEOUT_MS) this.#lose(held, 'unreachable');
    } finally {
      held.asking = false;
    }
  }

  #lose(held: Held, why: Loss): void {
    const { id } = held.lease;
    if (this.#held.get(id) !== held) return;
    this.drop(id);
    this.lost(id, why);
  }
}
