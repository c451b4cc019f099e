import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Request } from 'express';
import { cookie, type CredentialKind, Credentials } from '../../auth/credentials.js';
import type { Principal } from '../../auth/principal.js';
import type { ProjectId } from '../../common/project-id.js';
import { PROJECT_BASE } from '../../project-context/route-audit.js';
import { STREAM_COOKIE, StreamTickets } from './stream-tickets.js';

const STREAM_ROUTE = `/${PROJECT_BASE}/progress`;

/** `?ticket=`, or the cookie that it was exchanged for: on the event stream, and nowhere else. */
@Injectable()
export class TicketCredential implements CredentialKind, OnModuleInit {
  readonly order = 30;

  constructor(
    private readonly tickets: StreamTickets,
    private readonly credentials: Credentials,
  ) {}

  onModuleInit(): void {
    this.credentials.register(this);
  }

  extract(request: Request): string | undefined {
    if (request.method !== 'GET' || (request.route as { path?: string } | undefined)?.path !== STREAM_ROUTE) {
      return undefined;
    }
    return ticketOf(request) ?? cookie(request, STREAM_COOKIE);
  }

  // An EventSource reconnects with the same URL, so a used ticket may come with the cookie that it was exchanged for.
  verify(projectId: ProjectId, _credential: string, request: Request): Promise<Principal> {
    return this.tickets.verify(projectId, ticketOf(request), cookie(request, STREAM_COOKIE));
  }
}

/** @returns the ticket in the query, or `undefined`. */
export function ticketOf(request: Request): string | undefined {
  const { ticket } = request.query;
  return typeof ticket === 'string' && ticket !== '' ? ticket : undefined;
}
