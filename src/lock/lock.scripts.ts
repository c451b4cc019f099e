import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { LockKeys } from './lock.keys.js';

const lua = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);

export const acquireLock = defineScript({
  op: 'lock.acquire',
  file: lua('acquire'),
  role: 'state',
  keys: ['lock', 'fence'],
  args: ['owner', 'ttl_ms', 'wait'],
});

export const beatForWaiters = defineScript({
  op: 'lock.beat',
  file: lua('beat'),
  role: 'state',
  keys: ['locks...'],
  args: ['waiters...'],
});

export const extendLock = defineScript({
  op: 'lock.extend',
  file: lua('extend'),
  role: 'state',
  keys: ['lock'],
  args: ['owner', 'ttl_ms'],
});

export const releaseLock = defineScript({
  op: 'lock.release',
  file: lua('release'),
  role: 'state',
  keys: ['lock', 'released'],
  args: ['owner'],
});

/** A lock was granted or prolonged. */
export interface Granted {
  readonly granted: true;
  readonly fence: number;
  /** Unix ms, Redis time. */
  readonly expiresAt: number;
  /** When it was asked for, monotonic ms: Redis counts the TTL from a later moment. */
  readonly askedAt: number;
}

/** The lock is held by another for `leftMs` more, unless it is prolonged or released. */
export interface Held {
  readonly granted: false;
  readonly leftMs: number;
  /** Where the caller stands among those who wait; empty for who does not. */
  readonly place: string;
  /** When it was asked for, monotonic ms. */
  readonly askedAt: number;
}

/** One who waits for a lock. */
export interface Waiting {
  readonly name: string;
  readonly owner: string;
  readonly place: string;
}

/** The lock's scripts, typed. */
@Injectable()
export class LockScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: LockKeys,
  ) {}

  /** @param wait whether to queue up when the lock is not to be had now. */
  acquire(projectId: ProjectId, name: string, owner: string, ttlMs: number, wait: boolean): Promise<Granted | Held> {
    const askedAt = monotonicMs();
    return this.runner
      .run(acquireLock, {
        keys: this.keys.toAcquire(projectId, name),
        args: { owner, ttl_ms: ttlMs, wait: wait ? 1 : 0 },
      })
      .then((reply) => acquired(reply as AcquireReply, ttlMs, askedAt));
  }

  /** Says that they live. @returns for each how long the lock is held at most, in ms; negative when it was handed to it. */
  async beat(projectId: ProjectId, waiting: readonly Waiting[]): Promise<readonly number[]> {
    return (await this.runner.run(beatForWaiters, {
      keys: { locks: waiting.map(({ name }) => this.keys.lock(projectId, name)) },
      args: { waiters: waiting.flatMap(({ owner, place }) => [owner, place]) },
    })) as number[];
  }

  /** @returns `undefined` when the token is not the holder's. */
  async extend(projectId: ProjectId, name: string, owner: string, ttlMs: number): Promise<Granted | undefined> {
    const askedAt = monotonicMs();
    const reply = (await this.runner.run(extendLock, {
      keys: { lock: this.keys.lock(projectId, name) },
      args: { owner, ttl_ms: ttlMs },
    })) as [1, number, number] | [0];
    return reply[0] === 1 ? { granted: true, fence: reply[1], expiresAt: reply[2], askedAt } : undefined;
  }

  /** Frees the lock, or gives up waiting. @returns whether this token held the lock, now or when it released it before. */
  release(projectId: ProjectId, name: string, owner: string): Promise<boolean> {
    return this.runner
      .run(releaseLock, { keys: this.keys.toRelease(projectId, name, owner), args: { owner } })
      .then((reply) => reply === 1);
  }
}

/** A number alone is both: the fence, and the moment of the grant in µs. */
type AcquireReply = number | [1, number, number] | [0, number, string];

function acquired(reply: AcquireReply, ttlMs: number, askedAt: number): Granted | Held {
  if (typeof reply === 'number') {
    return { granted: true, fence: reply, expiresAt: Math.floor(reply / 1000) + ttlMs, askedAt };
  }
  return reply[0] === 1
    ? { granted: true, fence: reply[1], expiresAt: reply[2], askedAt }
    : { granted: false, leftMs: reply[1], place: reply[2], askedAt };
}
