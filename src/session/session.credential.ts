import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Request } from 'express';
import { cookie, type CredentialKind, Credentials } from '../auth/credentials.js';
import type { Principal } from '../auth/principal.js';
import { isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { SessionService } from './session.service.js';

/** Name of the cookie that carries a session token. */
export const SESSION_COOKIE = 'session';

/**
 * A session as a credential: `Authorization: Session <token>`, or the cookie `session`. The browser sends a cookie by
 * itself, so a write with it must come from an allowed site, which the guard checks.
 */
@Injectable()
export class SessionCredential implements OnModuleInit {
  constructor(
    private readonly sessions: SessionService,
    private readonly credentials: Credentials,
  ) {}

  onModuleInit(): void {
    this.credentials.register(this.#kind(20, fromHeader, false));
    this.credentials.register(this.#kind(30, (request) => cookie(request, SESSION_COOKIE), true));
  }

  #kind(order: number, extract: CredentialKind['extract'], ambient: boolean): CredentialKind {
    return { order, extract, verify: (projectId, token, request) => this.#verify(projectId, token, request, ambient) };
  }

  async #verify(projectId: ProjectId, token: string, request: Request, ambient: boolean): Promise<Principal> {
    try {
      return Object.freeze({ ...(await this.sessions.authenticate(projectId, token)), via: 'session', ambient });
    } catch (error) {
      if (!isAppError(error, 'unauthenticated') || !isLogOut(request)) throw error;
      // A repeated log-out gets the same answer as the first, and nothing more: see isLogOut.
      const ended = await this.sessions.loggedOut(projectId, token);
      if (!ended) throw error;
      return Object.freeze({ ...ended, role: 'viewer', expiresAt: 0, via: 'session', ambient });
    }
  }
}

function fromHeader(request: Request): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined || !/^session(?: |$)/i.test(header)) return undefined;
  return header.slice('session '.length).trim();
}

function isLogOut(request: Request): boolean {
  const { path } = (request.route ?? {}) as { path?: string };
  return request.method === 'DELETE' && path?.endsWith('/sessions/current') === true;
}
