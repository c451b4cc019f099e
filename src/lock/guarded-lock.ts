import { AppError, isAppError } from '../common/app-error.js';
import { monotonicMs } from '../common/time.js';
import type { Granted } from './lock.scripts.js';

export interface GuardedLockInit {
  readonly name: string;
  readonly token: string;
  readonly fence: number;
  readonly ttlMs: number;
  readonly maxHoldMs: number;
  /** When the grant was asked for, monotonic ms. */
  readonly grantedAt: number;
  readonly extend: () => Promise<Granted | undefined>;
  readonly release: () => Promise<unknown>;
}

/** A network error is tried again soon: the deadline does not wait. */
const RETRY_MS = 100;

/**
 * A lock that prolongs itself each third of its TTL, until it is released or held for its maximum.
 *
 * `signal` fires before anyone else can hold the lock: its deadline is counted on a clock of this process that never steps,
 * from the moment in which the last successful grant was *sent*, so that it needs no answer of Redis to be over. That holds
 * while this process runs; one that was stopped for longer than the TTL learns it when it wakes up, which is why every
 * protected write carries `fence`.
 */
export class GuardedLock implements AsyncDisposable {
  readonly name: string;
  /** Fencing token: grows with every grant of this lock. */
  readonly fence: number;
  readonly #init: GuardedLockInit;
  readonly #lost = new AbortController();
  readonly #maxDeadline: number;
  #deadline = 0;
  #over = false;
  #alarm: NodeJS.Timeout | undefined;
  #extension: NodeJS.Timeout | undefined;

  constructor(init: GuardedLockInit) {
    this.#init = init;
    this.name = init.name;
    this.fence = init.fence;
    this.#maxDeadline = init.grantedAt + init.maxHoldMs;
    this.#renewed(init.grantedAt);
  }

  /** Fires with an AppError `lock_lost` as its reason when the lock is lost or was held for its maximum. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Whether the lock is held for certain. Looks at the clock itself, so it is right even where a busy event loop has kept the
   * signal from firing.
   */
  get held(): boolean {
    if (!this.#over && monotonicMs() >= this.#deadline) this.#lose('The lock was not prolonged in time.');
    return !this.#over;
  }

  /** @throws AppError `lock_lost` unless the lock is held for certain: ask before each protected step. */
  assertHeld(): void {
    if (!this.held) throw this.signal.reason instanceof Error ? this.signal.reason : lost('The lock was released.');
  }

  /** Frees the lock. Never throws: what Redis does not hear ends with the TTL, and a lost lock is nobody's to free. */
  async release(): Promise<void> {
    if (this.#over) return;
    this.#end();
    await this.#init.release().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #renewed(askedAt: number): void {
    const { ttlMs } = this.#init;
    // A percent and 2 ms for clocks that do not run alike.
    this.#deadline = Math.min(askedAt + ttlMs * 0.99 - 2, this.#maxDeadline);
    this.#setAlarm();
    this.#extendIn((ttlMs / 3) * (0.9 + Math.random() * 0.2));
  }

  // A timer may fire a fraction of a millisecond early: then once more.
  #setAlarm(): void {
    clearTimeout(this.#alarm);
    this.#alarm = setTimeout(() => this.held && this.#setAlarm(), Math.max(this.#deadline - monotonicMs(), 0));
  }

  #extendIn(ms: number): void {
    clearTimeout(this.#extension);
    if (monotonicMs() + ms >= this.#deadline) return;
    this.#extension = setTimeout(() => void this.#extend(), ms).unref();
  }

  async #extend(): Promise<void> {
    // An event loop that slept past the deadline must not prolong what it has already called lost.
    if (!this.held) return;
    try {
      const grant = await this.#init.extend();
      if (!this.held) return;
      if (grant) this.#renewed(grant.askedAt);
      else this.#lose('The lock is held by another, or expired.');
    } catch (error) {
      if (!this.held) return;
      if (isAppError(error, 'redis_unavailable')) this.#extendIn(RETRY_MS);
      else this.#lose('The lock could not be prolonged.', error);
    }
  }

  #lose(sentence: string, cause?: unknown): void {
    this.#end();
    this.#lost.abort(lost(sentence, cause));
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#alarm);
    clearTimeout(this.#extension);
  }
}

function lost(sentence: string, cause?: unknown): AppError {
  return new AppError('lock_lost', 'lock.hold', sentence, { cause });
}
