import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { LockKeys } from './lock.keys.js';

export const acquireLock = defineScript({
  op: 'lock.acquire',
  file: new URL('./lua/acquire.lua', import.meta.url),
  role: 'state',
  keys: ['lock', 'fence'],
  args: ['token', 'ttl_ms'],
});

export const extendLock = defineScript({
  op: 'lock.extend',
  file: new URL('./lua/extend.lua', import.meta.url),
  role: 'state',
  keys: ['lock'],
  args: ['token', 'ttl_ms'],
});

export const releaseLock = defineScript({
  op: 'lock.release',
  file: new URL('./lua/release.lua', import.meta.url),
  role: 'state',
  keys: ['lock', 'released', 'free'],
  args: ['token'],
});

/** A lock was granted or prolonged. */
export interface Granted {
  readonly granted: true;
  readonly fence: number;
  /** Unix ms, Redis time. */
  readonly expiresAt: number;
}

/** The lock is held by another for `leftMs` more, unless it is prolonged or released. */
export interface Held {
  readonly granted: false;
  readonly leftMs: number;
}

/** The lock's scripts, typed. */
@Injectable()
export class LockScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: LockKeys,
  ) {}

  async acquire(projectId: ProjectId, name: string, token: string, ttlMs: number): Promise<Granted | Held> {
    const reply = (await this.runner.run(acquireLock, {
      keys: { lock: this.keys.lock(projectId, name), fence: this.keys.fence(projectId, name) },
      args: { token, ttl_ms: ttlMs },
    })) as [number, number | string, string];
    return reply[0] === 1
      ? { granted: true, fence: Number(reply[1]), expiresAt: Number(reply[2]) }
      : { granted: false, leftMs: Number(reply[1]) };
  }

  /** @returns `undefined` when the token is not the holder's. */
  async extend(projectId: ProjectId, name: string, token: string, ttlMs: number): Promise<Granted | undefined> {
    const reply = (await this.runner.run(extendLock, {
      keys: { lock: this.keys.lock(projectId, name) },
      args: { token, ttl_ms: ttlMs },
    })) as [number, string, string];
    return reply[0] === 1 ? { granted: true, fence: Number(reply[1]), expiresAt: Number(reply[2]) } : undefined;
  }

  /** @returns whether this token held the lock, now or when it released it before. */
  async release(projectId: ProjectId, name: string, token: string): Promise<boolean> {
    const reply = (await this.runner.run(releaseLock, {
      keys: {
        lock: this.keys.lock(projectId, name),
        released: this.keys.released(projectId, name, token),
        free: this.keys.free(projectId, name),
      },
      args: { token },
    })) as [number];
    return reply[0] === 1;
  }
}
