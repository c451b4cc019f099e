import { Injectable } from '@nestjs/common';
import type { Principal } from '../../auth/principal.js';
import { AppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { randomToken } from '../../common/tokens.js';
import { AppConfig } from '../../config/app-config.js';
import { RedisGateway } from '../../redis/redis-gateway.js';
import { defineScript } from '../../redis/script.js';
import { ScriptRunner } from '../../redis/script-runner.js';
import { SessionService } from '../../session/session.service.js';
import { ProgressKeys } from '../progress.keys.js';

/** How long a ticket is good, in seconds. */
export const TICKET_SECONDS = 30;
/** Name of the cookie with which an EventSource reconnects. */
export const STREAM_COOKIE = 'stream';
const LONGEST_COOKIE_MS = 24 * 3600 * 1000;

export const exchangeTicket = defineScript({
  op: 'progress.exchange_ticket',
  file: new URL('../lua/exchange-ticket.lua', import.meta.url),
  role: 'state',
  keys: ['ticket', 'cookie'],
  args: ['ttl_ms'],
});

/** Who a ticket or cookie is for, as it is stored. */
interface Holder {
  readonly user_id: string;
  /** End of the credential behind it, unix ms; for a session, as it stood then. */
  readonly expires_at: number;
  /** The session behind it, which is asked each time: it may have ended, or last longer. */
  readonly session_id?: string | undefined;
}

/**
 * Tickets for event streams, since a native EventSource can send no header: good for 30 s and one stream, which exchanges it
 * for a cookie that only the stream's path gets. Both are stored hashed, and end with the credential they were made with.
 */
@Injectable()
export class StreamTickets {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly gateway: RedisGateway,
    private readonly sessions: SessionService,
    private readonly keys: ProgressKeys,
    private readonly config: AppConfig,
  ) {}

  /** @returns a new ticket for the caller. */
  async issue(projectId: ProjectId, principal: Principal): Promise<string> {
    const ticket = randomToken();
    const { userId, expiresAt, sessionId } = principal;
    const holder: Holder = { user_id: userId, expires_at: expiresAt, session_id: sessionId };
    const key = this.keys.ticket(projectId, ticket);
    await this.gateway.call('state', 'progress.issue_ticket', (client) =>
      client.set(key, JSON.stringify(holder), 'EX', TICKET_SECONDS),
    );
    return ticket;
  }

  /**
   * @returns who holds the ticket, or else the cookie; neither is used up by that.
   * @throws AppError `unauthenticated` when neither is good, `redis_unavailable`
   */
  async verify(projectId: ProjectId, ticket: string | undefined, cookie: string | undefined): Promise<Principal> {
    const keys = [this.keys.ticket(projectId, ticket ?? ''), this.keys.cookie(projectId, cookie ?? '')];
    const stored = await this.gateway.call('state', 'progress.verify_ticket', (client) => client.mget(keys));
    const [byTicket, byCookie] = stored.map(parseHolder);
    const holder = byTicket ?? byCookie;
    const sessionId = holder?.session_id;
    const expiresAt =
      holder && sessionId !== undefined ? await this.sessions.expiresAt(projectId, sessionId) : holder?.expires_at;
    if (!holder || expiresAt === undefined || (sessionId === undefined && expiresAt <= Date.now())) {
      throw new AppError('unauthenticated', 'progress.ticket', 'The ticket is unknown, used up or expired.');
    }
    return Object.freeze({
      userId: holder.user_id,
      // A stream is all that it opens, and the least role may read it.
      role: 'viewer',
      via: 'ticket',
      expiresAt,
      ambient: byTicket === undefined,
      ...(sessionId === undefined ? {} : { sessionId }),
    });
  }

  /**
   * @returns the `Set-Cookie` header to send with the stream, and `redeem`, which makes the cookie good and uses the ticket
   * up; it resolves to `false` when another stream was faster.
   */
  cookieFor(
    projectId: ProjectId,
    ticket: string,
    principal: Principal,
  ): { header: string; redeem: () => Promise<boolean> } {
    const cookie = randomToken();
    // A session may be prolonged, and is asked anyway.
    const left = principal.sessionId === undefined ? principal.expiresAt - Date.now() : LONGEST_COOKIE_MS;
    const ttlMs = Math.max(1000, Math.min(left, LONGEST_COOKIE_MS));
    const header = [
      `${STREAM_COOKIE}=${cookie}`,
      'HttpOnly',
      'SameSite=Lax',
      `Path=/v1/projects/${projectId}/progress`,
      `Max-Age=${Math.floor(ttlMs / 1000)}`,
      ...(this.config.production ? ['Secure'] : []),
    ].join('; ');
    const redeem = async (): Promise<boolean> => {
      const reply = (await this.runner.run(exchangeTicket, {
        keys: { ticket: this.keys.ticket(projectId, ticket), cookie: this.keys.cookie(projectId, cookie) },
        args: { ttl_ms: Math.floor(ttlMs) },
      })) as [number];
      return reply[0] === 1;
    };
    return { header, redeem };
  }
}

function parseHolder(text: string | null | undefined): Holder | undefined {
  return text ? (JSON.parse(text) as Holder) : undefined;
}
