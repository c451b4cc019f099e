import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { isName } from '../common/names.js';
import { sha256 } from '../common/tokens.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** Key and channel names of locks. A script may derive the other keys of a lock from the lock's own. */
@Injectable()
export class LockKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** The lock itself. String `<token> <fence>`; TTL: the lock's. */
  lock(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name);
  }

  /** The last fence granted. String; TTL 7 days, and it may go at any time: see the script. */
  fence(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'fence');
  }

  /** Who waits for the lock. ZSET token → arrival in µs; TTL one minute, renewed. */
  queue(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'queue');
  }

  /** Until when each waiter counts as alive. ZSET token → ms; TTL one minute, renewed. */
  alive(projectId: ProjectId, name: string): string {
    return this.keys.key(projectId, 'lock', name, 'alive');
  }

  /** Remembers that this token released the lock, so that a repetition gets the same answer. String; TTL 10 minutes. */
  released(projectId: ProjectId, name: string, token: string): string {
    // The caller writes the token: what is no name becomes one.
    return this.keys.key(projectId, 'lock', name, 'released', isName(token) ? token : sha256(token));
  }

  /** Channel: a lock of the project was handed to one who waits. */
  wake(projectId: ProjectId): string {
    return this.keys.key(projectId, 'lock');
  }
}
