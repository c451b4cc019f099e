import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** Key and channel names of locks. A script may derive the other keys of a lock from the lock's own. */
@Injectable()
export class LockKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** The lock itself. String `<owner> <fence>`, the owner being the hash of the token; TTL: the lock's. */
  lock(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name);
  }

  /** The last fence granted. String; TTL 7 days, and it may go at any time: see the script. */
  fence(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'fence');
  }

  /** Who waits for the lock. ZSET owner → arrival in µs; TTL one minute, renewed. */
  queue(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'queue');
  }

  /** Until when each waiter counts as alive. ZSET owner → ms; TTL one minute, renewed. */
  alive(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'alive');
  }

  /** Remembers that this owner released the lock, so that a repetition gets the same answer. String; TTL 10 minutes. */
  released(projectId: ProjectId, name: string, owner: string): string {
    return this.keys.key(projectId, 'lock', name, 'released', owner);
  }

  /** Channel: a lock of the project was handed to one who waits. */
  wake(projectId: ProjectId): string {
    return this.keys.key(projectId, 'lock');
  }
}
