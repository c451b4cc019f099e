import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { Stopping } from '../common/stopping.js';
import { monotonicMs } from '../common/time.js';
import { randomToken, sha256 } from '../common/tokens.js';
import { invalid } from '../common/validation.js';
import { GuardedLock } from './guarded-lock.js';
import { type Granted, type Held, LockScripts } from './lock.scripts.js';
import { WaitingRooms } from './waiting-rooms.js';

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
  /** How long to wait for a held lock, in ms (0–30,000). Default 0. Those who wait get it in the order of arrival. */
  readonly waitMs?: number;
  /** Gives up waiting, for instance because the client went away. */
  readonly signal?: AbortSignal;
}

export interface HoldOptions extends AcquireOptions {
  /** How long the lock may be held in all, however well its extension goes, in ms (up to a day). */
  readonly maxHoldMs: number;
}

const DAY_MS = 86_400_000;

/** Mutual exclusion inside one project, with fencing tokens. */
@Injectable()
export class LockService {
  constructor(
    private readonly scripts: LockScripts,
    private readonly rooms: WaitingRooms,
    private readonly stopping: Stopping,
  ) {}

  /**
   * Takes the lock, waiting up to `waitMs` for it. The caller prolongs it itself; {@link hold} does that for him.
   * @throws AppError `locked` when it is still held then; its `retryAfterSeconds` is the rest of the holder's TTL.
   */
  async acquire(projectId: ProjectId, name: string, options: AcquireOptions): Promise<HeldLock> {
    const token = randomToken();
    const owner = ownerOf(token);
    const first = await this.#ask(projectId, name, owner, options);
    const grant = first.granted ? first : await this.#wait(projectId, name, owner, options, first);
    return { token, fence: grant.fence, expiresAt: grant.expiresAt };
  }

  /**
   * Takes the lock, keeps prolonging it, and frees it at the end of the block: `await using lock = await locks.hold(…)`.
   * `lock.signal` fires before anyone else can hold the lock; see {@link GuardedLock}.
   * @throws AppError as {@link acquire}.
   */
  async hold(projectId: ProjectId, name: string, options: HoldOptions): Promise<GuardedLock> {
    const { ttlMs, maxHoldMs } = options;
    if (!Number.isInteger(maxHoldMs) || maxHoldMs < ttlMs || maxHoldMs > DAY_MS) {
      throw invalid('lock.hold', [{ field: 'maxHoldMs', message: `must be an integer from ttlMs to ${DAY_MS}` }]);
    }
    const token = randomToken();
    const owner = ownerOf(token);
    const first = await this.#ask(projectId, name, owner, options);
    const { fence, askedAt } = first.granted ? first : await this.#wait(projectId, name, owner, options, first);
    return new GuardedLock({
      name,
      token,
      fence,
      ttlMs,
      maxHoldMs,
      grantedAt: askedAt,
      extend: () => this.scripts.extend(projectId, name, owner, ttlMs),
      release: () => this.scripts.release(projectId, name, owner),
    });
  }

  /**
   * Prolongs the lock to `ttlMs` from now.
   * @throws AppError `lock_lost` when the token is not, or no longer, the holder's.
   */
  async extend(projectId: ProjectId, name: string, token: string, ttlMs: number): Promise<HeldLock> {
    const grant = await this.scripts.extend(projectId, name, ownerOf(token), ttlMs);
    if (!grant) throw lost('lock.extend');
    return { token, fence: grant.fence, expiresAt: grant.expiresAt };
  }

  /**
   * Frees the lock. Repeating it with the same token within 10 minutes has the same outcome.
   * @throws AppError `lock_lost` when the token is not, or no longer, the holder's.
   */
  async release(projectId: ProjectId, name: string, token: string): Promise<void> {
    if (!(await this.scripts.release(projectId, name, ownerOf(token)))) throw lost('lock.release');
  }

  #ask(projectId: ProjectId, name: string, owner: string, options: AcquireOptions): Promise<Granted | Held> {
    const { ttlMs, waitMs = 0, signal } = options;
    if (!Number.isInteger(ttlMs) || ttlMs < 100 || ttlMs > 300_000) {
      throw invalid('lock.acquire', [{ field: 'ttlMs', message: 'must be an integer from 100 to 300000' }]);
    }
    const waits = waitMs > 0 && !this.stopping.signal.aborted && !signal?.aborted;
    return this.scripts.acquire(projectId, name, owner, ttlMs, waits);
  }

  async #wait(
    projectId: ProjectId,
    name: string,
    owner: string,
    { ttlMs, waitMs = 0, signal }: AcquireOptions,
    held: Held,
  ): Promise<Granted> {
    // It was not asked to wait.
    if (held.place === '') throw locked(held.leftMs);
    const signals = signal ? [this.stopping.signal, signal] : [this.stopping.signal];
    const turns = new Turns(held.askedAt + waitMs, signals);
    const leave = this.rooms.enter(projectId, { name, owner, place: held.place }, held.leftMs, () => turns.call());
    let leftMs = held.leftMs;
    try {
      while (await turns.next()) {
        const result = await this.scripts.acquire(projectId, name, owner, ttlMs, false);
        if (result.granted) return result;
        leftMs = result.leftMs;
        this.rooms.again(projectId);
      }
      throw locked(leftMs);
    } catch (error) {
      // The place is given up (no beat may take it again), and the lock too, should it have been handed over just now. Without
      // Redis both lapse.
      leave();
      await this.scripts.release(projectId, name, owner).catch(() => undefined);
      throw error;
    } finally {
      leave();
      turns.end();
    }
  }
}

/** The turns of one who waits, until its time is over or somebody gives up for it. */
class Turns {
  #called = false;
  #over = false;
  #wake = (): void => undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #stop = (): void => {
    this.#over = true;
    this.#wake();
  };

  constructor(
    deadline: number,
    private readonly signals: readonly AbortSignal[],
  ) {
    this.#timer = setTimeout(this.#stop, deadline - monotonicMs());
    for (const signal of signals) {
      signal.addEventListener('abort', this.#stop, { once: true });
      if (signal.aborted) this.#stop();
    }
  }

  call(): void {
    this.#called = true;
    this.#wake();
  }

  /** @returns `false` once the time is over. */
  async next(): Promise<boolean> {
    if (!this.#called && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const called = this.#called && !this.#over;
    this.#called = false;
    return called;
  }

  end(): void {
    clearTimeout(this.#timer);
    for (const signal of this.signals) signal.removeEventListener('abort', this.#stop);
  }
}

/** What Redis knows the holder of a token by: who reads its memory holds no lock. */
function ownerOf(token: string): string {
  return sha256(token, 32);
}

function locked(leftMs: number): AppError {
  return new AppError('locked', 'lock.acquire', 'The lock is held by another.', { retryAfterSeconds: leftMs / 1000 });
}

function lost(op: string): AppError {
  return new AppError('lock_lost', op, 'The token is not, or no longer, the holder of this lock.');
}
