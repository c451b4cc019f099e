import { Injectable } from '@nestjs/common';
import type { Role } from '../auth/principal.js';
import type { ProjectId } from '../common/project-id.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { SessionKeys } from './session.keys.js';
import type { SessionToken } from './session-token.js';

const lua = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);

export const openSession = defineScript({
  op: 'session.open',
  file: lua('open'),
  role: 'state',
  keys: ['index', 'user', 'session'],
  args: ['session_id', 'secret', 'user_id', 'role', 'data', 'ttl_ms', 'max_ms', 'cap'],
});

export const checkSession = defineScript({
  op: 'session.check',
  file: lua('check'),
  role: 'state',
  keys: ['index', 'session'],
  args: ['session_id', 'secret'],
});

export const rotateSession = defineScript({
  op: 'session.rotate',
  file: lua('rotate'),
  role: 'state',
  keys: ['index', 'session'],
  args: ['session_id', 'user_id', 'secret', 'new_secret', 'role', 'grace_ms'],
});

export const readSessions = defineScript({
  op: 'session.read',
  file: lua('read'),
  role: 'state',
  keys: ['index', 'sessions...'],
  args: [],
  readonly: true,
});

export const saveSession = defineScript({
  op: 'session.save',
  file: lua('save'),
  role: 'state',
  keys: ['index', 'session'],
  args: ['session_id', 'version', 'data'],
});

export const endSession = defineScript({
  op: 'session.end',
  file: lua('end'),
  role: 'state',
  keys: ['index', 'user', 'session', 'ended'],
  args: ['session_id'],
});

export const endSessionsOfUser = defineScript({
  op: 'session.end_user',
  file: lua('end-user'),
  role: 'state',
  keys: ['index', 'user'],
  args: [],
});

/** What opens: the caller's part of a session. */
export interface NewSession {
  readonly userId: string;
  readonly role: Role;
  /** A JSON object. */
  readonly data: object;
  /** How long it lives without a request, in ms. */
  readonly ttlMs: number;
  /** How long it lives at most, in ms. */
  readonly maxMs: number;
  /** How many sessions the user may have, this one included. */
  readonly cap: number;
}

/** A session, as it stands in Redis. Times are Unix ms of Redis. */
export interface Session {
  readonly sessionId: string;
  readonly userId: string;
  readonly role: Role;
  readonly data: object;
  /** Grows by one with each change of `data`. */
  readonly version: number;
  readonly createdAt: number;
  /** When it ends unless it is used before. */
  readonly expiresAt: number;
}

/** What a rotation changes. */
export interface Rotation {
  /** Whose session it must be. */
  readonly userId: string;
  readonly role: Role;
  readonly newSecretHash: string;
  /** How long the secret before stays good, with the role before, in ms. */
  readonly graceMs: number;
}

/** What a request with a session has proven. */
export type ProvenSession = Pick<Session, 'sessionId' | 'userId' | 'role' | 'expiresAt'>;

export type Saved =
  | { readonly outcome: 'saved'; readonly session: Session }
  | { readonly outcome: 'conflict'; readonly version: number }
  | { readonly outcome: 'unknown' };

type Row = [userId: string, role: Role, data: string, version: string | number, created: string, expires: string];

/** The session's scripts, typed. */
@Injectable()
export class SessionScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: SessionKeys,
  ) {}

  async open(projectId: ProjectId, token: SessionToken, session: NewSession): Promise<Session> {
    const { sessionId, secretHash } = token;
    const { userId, role, data, ttlMs, maxMs, cap } = session;
    const [created, expires] = (await this.runner.run(openSession, {
      keys: {
        index: this.keys.index(projectId),
        user: this.keys.user(projectId, userId),
        session: this.keys.session(projectId, sessionId),
      },
      args: {
        session_id: sessionId,
        secret: secretHash,
        user_id: userId,
        role,
        data: JSON.stringify(data),
        ttl_ms: ttlMs,
        max_ms: maxMs,
        cap,
      },
    })) as [string, string];
    return { sessionId, userId, role, data, version: 1, createdAt: Number(created), expiresAt: Number(expires) };
  }

  /** @returns `undefined` when there is no such session, or the secret is not its. */
  async check(projectId: ProjectId, { sessionId, secretHash }: SessionToken): Promise<ProvenSession | undefined> {
    const reply = (await this.runner.run(checkSession, {
      keys: { index: this.keys.index(projectId), session: this.keys.session(projectId, sessionId) },
      args: { session_id: sessionId, secret: secretHash },
    })) as [number, string, Role, string];
    if (reply[0] !== 1) return undefined;
    return { sessionId, userId: reply[1], role: reply[2], expiresAt: Number(reply[3]) };
  }

  /** @returns `undefined` when there is no such session of the user, or the secret is not its present one. */
  async rotate(
    projectId: ProjectId,
    { sessionId, secretHash }: SessionToken,
    { userId, role, newSecretHash, graceMs }: Rotation,
  ): Promise<Session | undefined> {
    const reply = (await this.runner.run(rotateSession, {
      keys: { index: this.keys.index(projectId), session: this.keys.session(projectId, sessionId) },
      args: {
        session_id: sessionId,
        user_id: userId,
        secret: secretHash,
        new_secret: newSecretHash,
        role,
        grace_ms: graceMs,
      },
    })) as [1, ...Row] | [0];
    if (reply[0] === 0) return undefined;
    const [, ...row] = reply;
    return toSession(sessionId, row);
  }

  /** @returns those of the sessions that live, in the same order. */
  async read(projectId: ProjectId, sessionIds: readonly string[]): Promise<Session[]> {
    const rows = (await this.runner.run(readSessions, {
      keys: {
        index: this.keys.index(projectId),
        sessions: sessionIds.map((sessionId) => this.keys.session(projectId, sessionId)),
      },
      args: {},
    })) as (Row | [])[];
    return rows.flatMap((row, i) => (row.length === 0 ? [] : [toSession(sessionIds[i]!, row)]));
  }

  async save(projectId: ProjectId, sessionId: string, version: number, data: object): Promise<Saved> {
    const reply = (await this.runner.run(saveSession, {
      keys: { index: this.keys.index(projectId), session: this.keys.session(projectId, sessionId) },
      args: { session_id: sessionId, version, data: JSON.stringify(data) },
    })) as [1, ...Row] | [2, string] | [0];
    if (reply[0] === 0) return { outcome: 'unknown' };
    if (reply[0] === 2) return { outcome: 'conflict', version: Number(reply[1]) };
    const [, ...row] = reply;
    return { outcome: 'saved', session: toSession(sessionId, row) };
  }

  /** @returns whether the session ended, now or within the last 10 minutes. */
  async end(projectId: ProjectId, sessionId: string): Promise<boolean> {
    const reply = (await this.runner.run(endSession, {
      keys: {
        index: this.keys.index(projectId),
        user: this.keys.userOf(projectId, sessionId),
        session: this.keys.session(projectId, sessionId),
        ended: this.keys.ended(projectId, sessionId),
      },
      args: { session_id: sessionId },
    })) as [number];
    return reply[0] === 1;
  }

  /** @returns how many sessions ended. */
  async endOfUser(projectId: ProjectId, userId: string): Promise<number> {
    return (await this.runner.run(endSessionsOfUser, {
      keys: { index: this.keys.index(projectId), user: this.keys.user(projectId, userId) },
      args: {},
    })) as number;
  }
}

function toSession(sessionId: string, [userId, role, data, version, created, expires]: Row): Session {
  return {
    sessionId,
    userId,
    role,
    data: JSON.parse(data) as object,
    version: Number(version),
    createdAt: Number(created),
    expiresAt: Number(expires),
  };
}
