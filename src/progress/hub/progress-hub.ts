import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { AppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { lostEvent } from '../new-event.js';
import { ProgressKeys } from '../progress.keys.js';
import { ProgressMetrics } from '../progress.metrics.js';
import { ProgressScripts } from '../progress.scripts.js';
import { type FeedListener, ProjectFeed } from './project-feed.js';

const CHECK_MS = 5000;

/** The feeds of this process, one per project that somebody listens to, over the one subscriber connection. */
@Injectable()
export class ProgressHub implements OnModuleInit, OnModuleDestroy {
  readonly #log = new Logger('ProgressHub');
  readonly #feeds = new Map<ProjectId, ProjectFeed>();
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | undefined;
  #stopped = false;

  constructor(
    private readonly subscriber: RedisSubscriber,
    private readonly scripts: ProgressScripts,
    private readonly keys: ProgressKeys,
    private readonly metrics: ProgressMetrics,
  ) {}

  onModuleInit(): void {
    this.#stopListening = this.subscriber.onReconnect(() => this.#check());
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref();
  }

  onModuleDestroy(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#stopListening?.();
    for (const feed of this.#feeds.values()) for (const listener of feed.listeners) listener.stopped();
  }

  /** Number of projects that somebody listens to. */
  get feeds(): number {
    return this.#feeds.size;
  }

  /** Number of streams of a project in this process. */
  listeners(projectId: ProjectId): number {
    return this.#feeds.get(projectId)?.listeners.size ?? 0;
  }

  /**
   * Adds a listener; it may hear events at once.
   * @returns the feed, whose `ready` settles when nothing published from then on is missed, and `leave`, which ends it in any case.
   * @throws AppError `redis_unavailable` while the process stops.
   */
  join(projectId: ProjectId, listener: FeedListener): { feed: ProjectFeed; leave: () => void } {
    if (this.#stopped) {
      throw new AppError('redis_unavailable', 'progress.join', 'The service is shutting down.', {
        retryAfterSeconds: 1,
      });
    }
    const feed = this.#feeds.get(projectId) ?? this.#open(projectId);
    feed.listeners.add(listener);
    return {
      feed,
      leave: () => {
        feed.listeners.delete(listener);
        if (feed.listeners.size === 0) this.#drop(projectId, feed);
      },
    };
  }

  #open(projectId: ProjectId): ProjectFeed {
    const feed = new ProjectFeed(
      projectId,
      this.keys.seqChannel(projectId),
      this.subscriber,
      this.scripts,
      this.metrics,
      (operationIds) => this.#lose(projectId, operationIds),
    );
    this.#feeds.set(projectId, feed);
    // Whoever joins after a failed start gets a new one.
    feed.ready.catch(() => this.#drop(projectId, feed));
    return feed;
  }

  #drop(projectId: ProjectId, feed: ProjectFeed): void {
    feed.close();
    if (this.#feeds.get(projectId) === feed) this.#feeds.delete(projectId);
  }

  #check(): void {
    for (const feed of this.#feeds.values()) feed.check();
  }

  // Several processes may try: the script lets only the first one end the operation, and only while it is overdue.
  #lose(projectId: ProjectId, operationIds: readonly string[]): void {
    for (const operationId of operationIds) {
      this.scripts.lose(projectId, lostEvent(operationId)).catch((error: unknown) => {
        this.#log.debug(`lose: ${(error as Error).message}`);
      });
    }
  }
}
