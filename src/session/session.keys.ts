import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { KeyBuilder } from '../redis/key-builder.js';
import { userHash } from './session-token.js';

/** Key names of sessions. The scripts derive a session's key from the index's: the index key, a colon, the id. */
@Injectable()
export class SessionKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** All living sessions of the project; what is not in it is no session. ZSET id → expiry in ms; TTL: the last session's. */
  index(projectId: ProjectId): string {
    return this.keys.key(projectId, 'session');
  }

  /** The sessions of one user. ZSET id → opening in µs; TTL: the last session's. */
  user(projectId: ProjectId, userId: string): string {
    return this.keys.key(projectId, 'session', 'user', userHash(userId));
  }

  /** The user's key, derived from the id of one of his sessions. */
  userOf(projectId: ProjectId, sessionId: string): string {
    return this.keys.key(projectId, 'session', 'user', sessionId.slice(0, sessionId.indexOf('.')));
  }

  /** One session. HASH `secret` (hashed), `user`, `role`, `data`, `version`, `created`, `ttl`, `until`; TTL: its own. */
  session(projectId: ProjectId, sessionId: string): string {
    return this.keys.key(projectId, 'session', sessionId);
  }

  /** Remembers a log-out, so that a repetition gets the same answer. HASH `secret` (hashed), `user`; TTL 10 minutes. */
  ended(projectId: ProjectId, sessionId: string): string {
    return this.keys.key(projectId, 'session', sessionId, 'ended');
  }
}
