import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { Principal } from '../../auth/principal.js';
import { AppError, isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { AppConfig } from '../../config/app-config.js';
import { ProgressMetrics } from '../progress.metrics.js';
import { ProgressService } from '../progress.service.js';
import { StreamTickets } from '../ticket/stream-tickets.js';
import { SseWriter } from './sse-writer.js';

/** The first bytes come at the latest after this, whatever Redis does; the contract allows 200 ms. */
const FIRST_BYTES_MS = 120;
const DRAIN_MS = 2000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

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
export class EventStreams implements OnModuleDestroy {
  readonly #open = new Map<ProjectId, Set<SseWriter>>();
  #stopping = false;

  constructor(
    private readonly progress: ProgressService,
    private readonly tickets: StreamTickets,
    private readonly metrics: ProgressMetrics,
    private readonly config: AppConfig,
  ) {}

  /** Ends all streams with a `retry` that spreads the reconnects, and waits until the clients have it. */
  async onModuleDestroy(): Promise<void> {
    this.#stopping = true;
    const writers = [...this.#open.values()].flatMap((streams) => [...streams]);
    // One that is still being opened hears of it from the service, and can be told with a status.
    for (const writer of writers) if (writer.isOpen) writer.end('shutting down');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_MS);
    });
    await Promise.race([Promise.all(writers.map((writer) => writer.closed)), late]);
    clearTimeout(timer);
    for (const writer of writers) writer.destroy();
  }

  /**
   * Answers with the stream, until the client goes away, its credential ends or nothing more can come.
   * @throws AppError `too_many_connections` and `redis_unavailable`, but only for clients that do not ask for
   * `text/event-stream`: a native EventSource never comes back after such an answer, so it gets an empty stream instead.
   */
  async serve(asked: StreamRequest, request: Request, response: Response): Promise<void> {
    if (response.closed || response.destroyed || request.method === 'HEAD') {
      response.end();
      return;
    }
    const patient = /\btext\/event-stream\b/i.test(request.headers.accept ?? '');
    const refusal = this.#refusal(asked.projectId);
    if (refusal && !patient) throw refusal;

    let cursor: (() => string) | undefined;
    const writer = new SseWriter(response, {
      cursor: asked.operationId === undefined ? undefined : () => cursor?.(),
      onStuck: () => this.metrics.stuck.inc(),
    });
    if (refusal) return this.#turnAway(writer, refusal);
    this.#register(asked, writer);
    if (asked.ticket !== undefined && !(await this.#exchange(asked, asked.ticket, writer))) return;

    await new Promise<void>((resolve, reject) => {
      const early = patient ? setTimeout(() => void writer.open(), FIRST_BYTES_MS) : undefined;
      const subscription = this.progress
        .stream(asked.projectId, {
          operationId: asked.operationId,
          after: asked.after,
          flow: writer,
          opened: (position) => {
            cursor = position;
            void writer.open();
          },
        })
        .subscribe({
          next: (event) => {
            void writer.open();
            writer.frame(asked.named ? event.namedFrame : event.frame);
            this.metrics.frames.inc();
          },
          complete: () => {
            // Nothing to tell and nothing to come: 204 is what makes an EventSource stop reconnecting.
            if (writer.isOpen) writer.end('over');
            else response.status(204).end();
          },
          error: (error: unknown) => {
            if (!writer.isOpen && !(patient && isAppError(error) && error.retryable)) reject(error as Error);
            else this.#turnAway(writer, error);
          },
        });
      void writer.closed.then(() => {
        clearTimeout(early);
        subscription.unsubscribe();
        resolve();
      });
    });
  }

  #refusal(projectId: ProjectId): AppError | undefined {
    if (this.#stopping) {
      return new AppError('redis_unavailable', 'progress.stream', 'The service is shutting down.', {
        retryAfterSeconds: 1,
      });
    }
    if ((this.#open.get(projectId)?.size ?? 0) < this.config.PROGRESS_MAX_STREAMS) return undefined;
    return new AppError('too_many_connections', 'progress.stream', 'The project has too many open streams.', {
      rule: 'PROGRESS_MAX_STREAMS',
      retryAfterSeconds: 5,
    });
  }

  #turnAway(writer: SseWriter, error: unknown): void {
    writer.end(isAppError(error) ? error.code : 'interrupted');
  }

  #register({ projectId, principal }: StreamRequest, writer: SseWriter): void {
    const streams = this.#open.get(projectId) ?? new Set();
    this.#open.set(projectId, streams.add(writer));
    this.metrics.streams.inc();
    // The client comes back, and is told then that its credential has ended.
    const left = Math.min(Math.max(principal.expiresAt - Date.now(), 0), LONGEST_TIMER_MS);
    const expiry = setTimeout(() => writer.end('credential expired'), left).unref();
    void writer.closed.then(() => {
      clearTimeout(expiry);
      this.metrics.streams.dec();
      streams.delete(writer);
      if (streams.size === 0 && this.#open.get(projectId) === streams) this.#open.delete(projectId);
    });
  }

  // The ticket is used up only when the client has the cookie: a connection that dies before that may try again.
  async #exchange({ projectId, principal }: StreamRequest, ticket: string, writer: SseWriter): Promise<boolean> {
    const { header, redeem } = this.tickets.cookieFor(projectId, ticket, principal);
    await writer.open({ 'Set-Cookie': header });
    const good = writer.isClosed ? false : await redeem().catch(() => false);
    if (!good) writer.end('ticket not accepted');
    return good;
  }
}
