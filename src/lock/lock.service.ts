import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { Stopping } from '../common/stopping.js';
import { monotonicMs } from '../common/time.js';
import { randomToken } from '../common/tokens.js';
import { RedisSubscriber } from '../redis/redis-subscriber.js';
import { LockKeys } from './lock.keys.js';
import { LockScripts } from './lock.scripts.js';

/** A lock that the caller holds until `expiresAt`. */
export interface HeldLock {
  /** The secret that prolongs and releases it. */
  readonly token: string;
  /** Fencing token: grows with every grant of this lock. Send it along with each write that the lock protects. */
  readonly fence: number;
  /** Unix ms, Redis time. */
  readonly expiresAt: number;
}

export interface AcquireOptions {
  /** How long the lock is held unless it is prolonged, in ms (100–300,000). */
  readonly ttlMs: number;
  /** How long to wait for a held lock, in ms (0–30,000). Default 0. */
  readonly waitMs?: number;
  /** Gives up waiting, for instance because the client went away. */
  readonly signal?: AbortSignal;
}

/** Mutual exclusion inside one project, with fencing tokens. */
@Injectable()
export class LockService {
  constructor(
    private readonly scripts: LockScripts,
    private readonly keys: LockKeys,
    private readonly subscriber: RedisSubscriber,
    private readonly stopping: Stopping,
  ) {}

  /**
   * Takes the lock, waiting up to `waitMs` for it.
   * @throws AppError `locked` when it is still held then; its `retryAfterSeconds` is the rest of the holder's TTL.
   */
  async acquire(projectId: ProjectId, name: string, options: AcquireOptions): Promise<HeldLock> {
    const { ttlMs, waitMs = 0 } = options;
    const token = randomToken();
    const first = await this.scripts.acquire(projectId, name, token, ttlMs);
    if (first.granted) return { token, fence: first.fence, expiresAt: first.expiresAt };
    if (waitMs <= 0) throw locked(first.leftMs);
    return this.#wait(projectId, name, token, options, first.leftMs);
  }

  /**
   * Prolongs the lock to `ttlMs` from now.
   * @throws AppError `lock_lost` when the token is not, or no longer, the holder's.
   */
  async extend(projectId: ProjectId, name: string, token: string, ttlMs: number): Promise<HeldLock> {
    const grant = await this.scripts.extend(projectId, name, token, ttlMs);
    if (!grant) throw lost('lock.extend');
    return { token, fence: grant.fence, expiresAt: grant.expiresAt };
  }

  /**
   * Frees the lock. Repeating it with the same token within 10 minutes has the same outcome.
   * @throws AppError `lock_lost` when the token is not, or no longer, the holder's.
   */
  async release(projectId: ProjectId, name: string, token: string): Promise<void> {
    if (!(await this.scripts.release(projectId, name, token))) throw lost('lock.release');
  }

  // A release wakes the waiters at once; the rest of the holder's TTL is the latest moment to look again, so that a lost
  // wake-up or a dead holder costs time, not progress. Shutdown ends all waiting.
  async #wait(
    projectId: ProjectId,
    name: string,
    token: string,
    options: AcquireOptions,
    leftMs: number,
  ): Promise<HeldLock> {
    const deadline = monotonicMs() + (options.waitMs ?? 0);
    const signals = [this.stopping.signal, ...(options.signal ? [options.signal] : [])];
    let wake = (): void => undefined;
    const unsubscribe = await this.subscriber.subscribe(this.keys.free(projectId, name), () => wake());
    try {
      let left = leftMs;
      for (;;) {
        const freed = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const result = await this.scripts.acquire(projectId, name, token, options.ttlMs);
        if (result.granted) return { token, fence: result.fence, expiresAt: result.expiresAt };
        left = result.leftMs;
        const rest = deadline - monotonicMs();
        if (rest <= 0 || signals.some(({ aborted }) => aborted)) throw locked(left);
        await Promise.race([freed, timeout(Math.min(rest, left + 1), signals)]);
      }
    } finally {
      unsubscribe();
    }
  }
}

function timeout(ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) signal.addEventListener('abort', done, { once: true });
  });
}

function locked(leftMs: number): AppError {
  return new AppError('locked', 'lock.acquire', 'The lock is held by another.', { retryAfterSeconds: leftMs / 1000 });
}

function lost(op: string): AppError {
  return new AppError('lock_lost', op, 'The token is not, or no longer, the holder of this lock.');
}
