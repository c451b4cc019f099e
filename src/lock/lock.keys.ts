import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** Key and channel names of locks. A script may derive the other keys of a lock from the lock's own. */
@Injectable()
export class LockKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /**
   * The lock itself. String `<owner> <fence>`, the owner being the hash of the token, with `*` before it while others wait;
   * TTL: the lock's.
   */
  lock(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name);
  }

  /** Who waits for the lock. ZSET owner → arrival in µs; TTL one minute, renewed. */
  queue(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'queue');
  }

  /** Until when each waiter counts as alive. ZSET owner → ms; TTL one minute, renewed. */
  alive(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'alive');
  }

  /**
   * The lock and its `fence`, the last one granted, with `*` before it while anyone waits. String; TTL 7 days, and it may go at
   * any time: see the script.
   */
  toAcquire(projectId: ProjectId, name: string): { readonly lock: string; readonly fence: string } {
    return { lock: this.lock(projectId, name), fence: this.keys.key(projectId, 'lock', name, 'fence') };
  }

  /** The lock and what remembers that this owner released it, so that a repetition gets the same answer. String; TTL 10 minutes. */
  toRelease(projectId: ProjectId, name: string, owner: string): { readonly lock: string; readonly released: string } {
    const released = this.keys.key(projectId, 'lock', name, 'released', owner);
    return { lock: this.lock(projectId, name), released };
  }

  /** Channel: a lock of the project was handed to one who waits. */
  wake(projectId: ProjectId): string {
    return this.keys.key(projectId, 'lock');
  }
}
