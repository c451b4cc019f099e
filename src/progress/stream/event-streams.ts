import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { Principal } from '../../auth/principal.js';
import { isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { StatsRegistry } from '../../monitoring/stats.registry.js';
import { ProgressMetrics } from '../progress.metrics.js';
import { ProgressService } from '../progress.service.js';
import { StreamTickets } from '../ticket/stream-tickets.js';
import { OpenStreams } from './open-streams.js';
import { isEventSource } from './soft-refusal.filter.js';
import { SseWriter } from './sse-writer.js';
import { StreamPlaces } from './stream-places.js';

/** The first bytes come at the latest after this, whatever Redis does; the contract allows 200 ms. */
const FIRST_BYTES_MS = 120;

/** What a client asked for, and who it is. */
export interface StreamRequest {
  readonly projectId: ProjectId;
  readonly principal: Principal;
  readonly operationId: string | undefined;
  /** `Last-Event-ID`, or what stands for it in the query. */
  readonly after: string | undefined;
  /** Whether frames carry the type as their `event` field. */
  readonly named: boolean;
  /** The ticket that authenticated, to be exchanged for the cookie. */
  readonly ticket: string | undefined;
}

/** Serves event streams over HTTP: a consumer of {@link ProgressService.stream} that writes what it emits. */
@Injectable()
export class EventStreams implements OnModuleInit {
  constructor(
    private readonly progress: ProgressService,
    private readonly open: OpenStreams,
    private readonly places: StreamPlaces,
    private readonly tickets: StreamTickets,
    private readonly metrics: ProgressMetrics,
    private readonly stats: StatsRegistry,
  ) {}

  onModuleInit(): void {
    this.stats.register('streams', async (projectId) => ({ open: await this.places.count(projectId) }));
  }

  /**
   * Answers with the stream, until the client goes away, its credential ends or nothing more can come.
   * @throws AppError `too_many_connections` and `redis_unavailable`, for {@link SoftRefusalFilter}.
   */
  async serve(asked: StreamRequest, request: Request, response: Response): Promise<void> {
    if (response.closed || response.destroyed || request.method === 'HEAD') {
      response.end();
      return;
    }
    const { projectId, principal, ticket } = asked;
    const cookie = ticket === undefined ? undefined : this.tickets.cookieFor(projectId, ticket, principal);
    let position: (() => string) | undefined;
    const writer = new SseWriter(response, {
      headers: cookie === undefined ? {} : { 'Set-Cookie': cookie.header },
      cursor: asked.operationId === undefined ? undefined : () => position?.(),
      onStuck: () => this.metrics.stuck.inc(),
    });
    const early = isEventSource(request) ? setTimeout(() => void writer.open(), FIRST_BYTES_MS) : undefined;
    try {
      await this.open.admit(projectId, principal, writer);
      // The ticket is used up only when the client has the cookie: a connection that dies before that may try again.
      if (cookie !== undefined) await writer.open();
      if (cookie !== undefined && (writer.isClosed || !(await cookie.redeem()))) writer.end('ticket not accepted');
      else await this.#follow(asked, writer, response, (opened) => (position = opened));
    } catch (error) {
      if (!writer.isOpen) throw error;
      writer.end(isAppError(error) ? error.code : 'interrupted');
    } finally {
      clearTimeout(early);
    }
  }

  /** @throws AppError when the stream cannot be opened. */
  #follow(
    { projectId, operationId, after, named }: StreamRequest,
    writer: SseWriter,
    response: Response,
    opened: (position: () => string) => void,
  ): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const subscription = this.progress
        .stream(projectId, {
          operationId,
          after,
          flow: writer,
          opened: (position) => {
            opened(position);
            void writer.open();
            // It was being opened when the others were told.
            if (this.open.stopping) writer.end('shutting down');
          },
        })
        .subscribe({
          next: (event) => {
            if (!writer.isOpen) void writer.open();
            writer.frame(named ? event.namedFrame : event.frame);
            this.metrics.countFrame();
          },
          complete: () => {
            // Nothing to tell and nothing to come: 204 is what makes an EventSource stop reconnecting.
            if (writer.isOpen) writer.end('over');
            else response.status(204).end();
          },
          error: reject,
        });
      void writer.closed.then(() => {
        subscription.unsubscribe();
        resolve();
      });
    });
  }
}
