import { randomInt } from 'node:crypto';
import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Principal } from '../../auth/principal.js';
import { AppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { monotonicMs } from '../../common/time.js';
import { randomId } from '../../common/tokens.js';
import { AppConfig } from '../../config/app-config.js';
import { RedisClock } from '../../redis/redis-clock.js';
import { SessionService } from '../../session/session.service.js';
import { ProgressMetrics } from '../progress.metrics.js';
import type { SseWriter } from './sse-writer.js';
import { StreamPlaces } from './stream-places.js';

const LOOK_MS = 1000;
/** A stream ends within 15 s after its session; so long is enough for one look that finds Redis away. */
const SESSIONS_MS = 5000;
const RENEW_MS = 15_000;
const DRAIN_MS = 2000;
/** A stream that ends only because of its age comes back at once: the ages are spread already. */
const AT_ONCE = [100, 1000] as const;

interface OpenStream {
  readonly id: string;
  readonly projectId: ProjectId;
  readonly writer: SseWriter;
  readonly sessionId: string | undefined;
  /** End of the credential, Unix ms. A session that is used meanwhile ends later. */
  expiresAt: number;
  /** By the monotonic clock. */
  readonly oldAt: number;
}

/**
 * The event streams of this process: each holds one of the project's places, ends with the credential that opened it and at
 * its maximum age, and is told when the process stops.
 */
@Injectable()
export class OpenStreams implements OnModuleInit, OnModuleDestroy {
  readonly #log = new Logger('ProgressStreams');
  readonly #streams = new Set<OpenStream>();
  #timers: NodeJS.Timeout[] = [];
  #stopping = false;

  constructor(
    private readonly places: StreamPlaces,
    private readonly sessions: SessionService,
    private readonly clock: RedisClock,
    private readonly metrics: ProgressMetrics,
    private readonly config: AppConfig,
  ) {}

  onModuleInit(): void {
    const every = (ms: number, look: () => void): NodeJS.Timeout => setInterval(look, ms).unref();
    this.#timers = [
      every(LOOK_MS, () => this.#endOverdue()),
      every(SESSIONS_MS, () => void this.#lookAtSessions()),
      every(RENEW_MS, () => void this.#renew()),
    ];
  }

  /** Ends all streams with a `retry` that spreads the reconnects, and waits until the clients have it. */
  async onModuleDestroy(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    const writers = [...this.#streams].map(({ writer }) => writer);
    // One that is still being opened is told when it stands.
    for (const writer of writers) if (writer.isOpen) writer.end('shutting down');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_MS);
    });
    await Promise.race([Promise.all(writers.map((writer) => writer.closed)), late]);
    clearTimeout(timer);
    for (const writer of writers) writer.destroy();
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /**
   * Gives a stream a place until its writer closes.
   * @throws AppError `too_many_connections`, `redis_unavailable`
   */
  async admit(projectId: ProjectId, principal: Principal, writer: SseWriter): Promise<void> {
    this.#refuseWhenStopping();
    const maxAge = this.config.PROGRESS_STREAM_MAX_SECONDS * 1000;
    const stream: OpenStream = {
      id: randomId(),
      projectId,
      writer,
      sessionId: principal.sessionId,
      expiresAt: principal.expiresAt,
      oldAt: monotonicMs() + randomInt(Math.ceil(maxAge / 2), maxAge + 1),
    };
    this.#streams.add(stream);
    this.metrics.streams.inc();
    void writer.closed.then(() => {
      this.#streams.delete(stream);
      this.metrics.streams.dec();
      // What cannot be given back runs out by itself.
      this.places.leave(projectId, stream.id).catch(() => undefined);
    });
    if (!(await this.places.take(projectId, stream.id))) throw tooMany();
    this.#refuseWhenStopping();
  }

  #refuseWhenStopping(): void {
    if (!this.#stopping) return;
    throw new AppError('redis_unavailable', 'progress.stream', 'The service is shutting down.', {
      retryAfterSeconds: 1,
    });
  }

  #endOverdue(): void {
    const now = { wall: Date.now(), monotonic: monotonicMs() };
    for (const { writer, sessionId, expiresAt, oldAt } of this.#streams) {
      // The session itself is asked for sessions: it may have been prolonged.
      if (sessionId === undefined && expiresAt <= now.wall) writer.end('credential expired');
      else if (oldAt <= now.monotonic) writer.end('maximum age', AT_ONCE);
    }
  }

  async #lookAtSessions(): Promise<void> {
    const bySession = new Map<string, OpenStream[]>();
    for (const stream of this.#streams) {
      if (stream.sessionId === undefined) continue;
      const key = `${stream.projectId} ${stream.sessionId}`;
      bySession.set(key, [...(bySession.get(key) ?? []), stream]);
    }
    await Promise.all([...bySession.values()].map((streams) => this.#lookAtSession(streams)));
  }

  async #lookAtSession(streams: readonly OpenStream[]): Promise<void> {
    const { projectId, sessionId } = streams[0]!;
    let until: number | undefined;
    try {
      until = await this.sessions.expiresAt(projectId, sessionId!);
    } catch {
      // Redis does not say: what it said last counts.
      const now = this.clock.now('state');
      until = streams[0]!.expiresAt > now ? streams[0]!.expiresAt : undefined;
    }
    for (const stream of streams) {
      if (until === undefined) stream.writer.end('credential expired');
      else stream.expiresAt = until;
    }
  }

  async #renew(): Promise<void> {
    const byProject = new Map<ProjectId, Map<string, SseWriter>>();
    for (const { projectId, id, writer } of this.#streams) {
      const streams = byProject.get(projectId) ?? new Map<string, SseWriter>();
      byProject.set(projectId, streams.set(id, writer));
    }
    for (const [projectId, streams] of byProject) {
      try {
        const lost = await this.places.renew(projectId, [...streams.keys()]);
        for (const id of lost) streams.get(id)!.end('too_many_connections');
      } catch (error) {
        this.#log.debug(`places: ${(error as Error).message}`);
      }
    }
  }
}

function tooMany(): AppError {
  return new AppError('too_many_connections', 'progress.stream', 'The project has too many open streams.', {
    rule: 'PROGRESS_MAX_STREAMS',
    retryAfterSeconds: 5,
  });
}
