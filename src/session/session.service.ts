import { Injectable } from '@nestjs/common';
import type { Role } from '../auth/principal.js';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { invalid } from '../common/validation.js';
import { AppConfig } from '../config/app-config.js';
import { RedisClock } from '../redis/redis-clock.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { SessionKeys } from './session.keys.js';
import { type ProvenSession, type Session, SessionScripts } from './session.scripts.js';
import { issueSecret, issueToken, parseToken, SESSION_ID } from './session-token.js';

/** Living sessions of one user in one project; one more ends the oldest. */
export const SESSIONS_PER_USER = 10;

/** How long the secret before a rotation stays good, with the role before, so that requests under way do not break. */
export const ROTATION_GRACE_MS = 10_000;

export interface OpenOptions {
  readonly userId: string;
  /** What the session may do in this project. */
  readonly role: Role;
  /** A JSON object that the session carries. Default `{}`. */
  readonly data?: object;
  /** How long it lives without a request, in seconds (1 to `SESSION_MAX_SECONDS`). Default `SESSION_TTL_SECONDS`. */
  readonly ttlSeconds?: number;
}

/** A session and its token, which cannot be had again: Redis holds a hash only. */
export interface IssuedSession {
  readonly session: Session;
  readonly token: string;
}

export interface SessionPage {
  readonly sessions: readonly Session[];
  /** Where the next page begins; none on the last. */
  readonly nextCursor?: string;
}

/** Sessions of one project: server-side, revocable at once. What ends a session is effective for the next request everywhere. */
@Injectable()
export class SessionService {
  constructor(
    private readonly scripts: SessionScripts,
    private readonly keys: SessionKeys,
    private readonly gateway: RedisGateway,
    private readonly clock: RedisClock,
    private readonly config: AppConfig,
  ) {}

  /**
   * Opens a session; the user's oldest ends when he would have more than {@link SESSIONS_PER_USER}.
   * @returns the session and its token, which cannot be had again: Redis holds a hash only.
   * @throws AppError `validation_failed` for a TTL beyond `SESSION_MAX_SECONDS`.
   */
  async open(projectId: ProjectId, options: OpenOptions): Promise<IssuedSession> {
    const { userId, role, data = {}, ttlSeconds = this.config.SESSION_TTL_SECONDS } = options;
    const max = this.config.SESSION_MAX_SECONDS;
    if (ttlSeconds > max) throw invalid('session.open', [{ field: 'ttl_seconds', message: `must not exceed ${max}` }]);
    const token = issueToken(userId);
    const session = await this.scripts.open(projectId, token, {
      userId,
      role,
      data,
      ttlMs: ttlSeconds * 1000,
      maxMs: max * 1000,
      cap: SESSIONS_PER_USER,
    });
    return { session, token: token.token };
  }

  /**
   * Checks a token and prolongs its session, in one call.
   * @throws AppError `unauthenticated` when it is no token of a living session of this project.
   */
  async authenticate(projectId: ProjectId, token: string): Promise<ProvenSession> {
    const parsed = parseToken(token);
    const proven = parsed && (await this.scripts.check(projectId, parsed));
    if (!proven) throw unknown('session.check');
    return proven;
  }

  /**
   * Gives a session a new secret and role: whenever what the user may do changes, so that a token which was taken before is
   * worth nothing soon. For 10 s the secret before passes too, with the role before; it rotates nothing any more.
   * @param token the session's present token. @returns the session and its new token.
   * @throws AppError `not_found` when it is no living session of the user, or the token is not its present one.
   */
  async rotate(
    projectId: ProjectId,
    token: string,
    { userId, role }: { readonly userId: string; readonly role: Role },
  ): Promise<IssuedSession> {
    const present = parseToken(token);
    const next = present && issueSecret(present.sessionId);
    const session =
      present &&
      (await this.scripts.rotate(projectId, present, {
        userId,
        role,
        newSecretHash: next!.secretHash,
        graceMs: ROTATION_GRACE_MS,
      }));
    if (!session) throw new AppError('not_found', 'session.rotate', 'There is no such session of the caller.');
    return { session, token: next!.token };
  }

  /** @returns whose session this token logged out within the last 10 minutes, `undefined` when it did not. */
  async loggedOut(projectId: ProjectId, token: string): Promise<{ sessionId: string; userId: string } | undefined> {
    const parsed = parseToken(token);
    if (!parsed) return undefined;
    const [secret, userId] = await this.gateway.call('state', 'session.logged_out', (client) =>
      client.hmget(this.keys.ended(projectId, parsed.sessionId), 'secret', 'user'),
    );
    return secret === parsed.secretHash && userId ? { sessionId: parsed.sessionId, userId } : undefined;
  }

  /** @throws AppError `unauthenticated` when the session has ended. */
  async read(projectId: ProjectId, sessionId: string): Promise<Session> {
    const [session] = await this.scripts.read(projectId, [sessionId]);
    if (!session) throw unknown('session.read');
    return session;
  }

  /** @returns when the session ends unless it is used (Unix ms, Redis time), `undefined` when it has ended. Prolongs nothing. */
  async expiresAt(projectId: ProjectId, sessionId: string): Promise<number | undefined> {
    const expiry = await this.gateway.call('state', 'session.expires_at', (client) =>
      client.zscore(this.keys.index(projectId), sessionId),
    );
    return expiry !== null && Number(expiry) > this.clock.now('state') ? Number(expiry) : undefined;
  }

  /**
   * Replaces `data`, if `version` is still the stored one.
   * @throws AppError `conflict` when another change came first; `unauthenticated` when the session has ended.
   */
  async save(projectId: ProjectId, sessionId: string, version: number, data: object): Promise<Session> {
    const result = await this.scripts.save(projectId, sessionId, version, data);
    if (result.outcome === 'unknown') throw unknown('session.save');
    if (result.outcome === 'conflict') {
      throw new AppError('conflict', 'session.save', `The session was changed: its version is ${result.version} now.`);
    }
    return result.session;
  }

  /** Logs out. Repeating it has the same outcome. @returns whether the session ended, now or within the last 10 minutes. */
  async end(projectId: ProjectId, sessionId: string): Promise<boolean> {
    return SESSION_ID.test(sessionId) && this.scripts.end(projectId, sessionId);
  }

  /** Ends the session of this token, if it is one of the user's: what a new log-in replaces. */
  async endReplaced(projectId: ProjectId, token: string, userId: string): Promise<void> {
    const parsed = parseToken(token);
    const proven = parsed && (await this.scripts.check(projectId, parsed));
    if (proven?.userId === userId) await this.scripts.end(projectId, parsed!.sessionId);
  }

  /** Ends all sessions of a user. */
  async endOfUser(projectId: ProjectId, userId: string): Promise<void> {
    await this.scripts.endOfUser(projectId, userId);
  }

  /** Ends all sessions of the project, with one command: without the index there are none. What they held expires. */
  async endAll(projectId: ProjectId): Promise<void> {
    await this.gateway.call('state', 'session.end_all', (client) => client.unlink(this.keys.index(projectId)));
  }

  /**
   * Lists the living sessions in the order in which they expire. A session that is used meanwhile expires later, so a later
   * page may show it again; none is missed.
   * @param cursor `nextCursor` of the page before.
   */
  async list(projectId: ProjectId, limit: number, cursor?: string): Promise<SessionPage> {
    const after = cursor === undefined ? undefined : parseCursor(cursor);
    const index = this.keys.index(projectId);
    // Several sessions may expire in the same millisecond, and the cursor may stand among them.
    const ties = after
      ? await this.gateway.call('state', 'session.list', (client) => client.zcount(index, after.expiry, after.expiry))
      : 0;
    const from = Math.max(after?.expiry ?? 0, this.clock.now('state'));
    const flat = await this.gateway.call('state', 'session.list', (client) =>
      client.zrange(index, from, '+inf', 'BYSCORE', 'LIMIT', 0, limit + 1 + ties, 'WITHSCORES'),
    );
    const rows = pairs(flat).filter(
      (row) => !after || row.expiry > after.expiry || (row.expiry === after.expiry && row.sessionId > after.sessionId),
    );
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const sessions = await this.scripts.read(
      projectId,
      page.map(({ sessionId }) => sessionId),
    );
    return { sessions, ...(last && rows.length > limit ? { nextCursor: `${last.expiry}.${last.sessionId}` } : {}) };
  }
}

interface IndexRow {
  readonly sessionId: string;
  readonly expiry: number;
}

function pairs(flat: readonly string[]): IndexRow[] {
  return flat.flatMap((sessionId, i) => (i % 2 === 0 ? [{ sessionId, expiry: Number(flat[i + 1]) }] : []));
}

function parseCursor(cursor: string): IndexRow {
  const [, expiry, sessionId] = /^(\d{1,15})\.(.+)$/.exec(cursor) ?? [];
  if (expiry === undefined || !SESSION_ID.test(sessionId!)) {
    throw invalid('session.list', [{ field: 'cursor', message: 'must be the next_cursor of an earlier answer' }]);
  }
  return { expiry: Number(expiry), sessionId: sessionId! };
}

// One answer for a session that never was, has ended, belongs to another project or has another secret.
function unknown(op: string): AppError {
  return new AppError('unauthenticated', op, 'There is no such session, or it has ended.');
}
