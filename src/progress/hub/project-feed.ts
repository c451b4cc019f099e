import { Logger } from '@nestjs/common';
import type { ProjectId } from '../../common/project-id.js';
import type { RedisSubscriber } from '../../redis/redis-subscriber.js';
import type { Cursor } from '../cursor.js';
import { ProgressEvent } from '../progress-event.js';
import type { ProgressMetrics } from '../progress.metrics.js';
import type { LogPage, ProgressScripts } from '../progress.scripts.js';
import { Continuity } from './continuity.js';

/** Hears the events of one project. */
export interface FeedListener {
  /** The next event. Between two calls nothing is missing, unless `jumped` was called. */
  hear(event: ProgressEvent): void;
  /** The feed could not go on where it was: what comes next does not follow what came before. */
  jumped(): void;
  /** The process is stopping: nothing more will come. */
  stopped(): void;
}

const RETRY_MS = 100;
const RECENT_EVENTS = 256;
const RECENT_BYTES = 128 * 1024;

/** What is true at one moment of the log. */
export interface Snapshot {
  readonly at: Cursor;
  /** Shared by all who get it, and so encoded once. */
  readonly event: ProgressEvent;
  /** Whether the operation that was asked for is over. */
  readonly ended: boolean;
}

/** Most operations in a snapshot of the project. */
const MAX_OPERATIONS = 1000;

/**
 * The events of one project in this process, in order and without a hole: what pub/sub delivers is checked
 * (`seq = last + 1`), and what it lost is read from the log, once for all listeners. When that cannot be done (the log is
 * gone, or too much was missed), the listeners are told that the feed jumped.
 */
export class ProjectFeed {
  readonly listeners = new Set<FeedListener>();
  /** Settles when everything that is published from then on will be heard. */
  readonly ready: Promise<void>;
  readonly #log = new Logger('ProgressFeed');
  readonly #continuity = new Continuity();
  /** The last events, without a hole up to the position: who comes back after a moment needs no Redis. */
  #recent: ProgressEvent[] = [];
  #recentBytes = 0;
  readonly #snapshots = new Map<string | undefined, Promise<Snapshot>>();
  #leave: (() => void) | undefined;
  #closed = false;

  constructor(
    private readonly projectId: ProjectId,
    private readonly channel: string,
    private readonly subscriber: RedisSubscriber,
    private readonly scripts: ProgressScripts,
    private readonly metrics: ProgressMetrics,
    private readonly onOverdue: (operationIds: readonly string[]) => void,
  ) {
    this.ready = this.#start();
    // Every joiner awaits it; a feed that nobody waits for any more must not end the process.
    this.ready.catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#leave?.();
  }

  /** The last event that the listeners heard. */
  get position(): Cursor | undefined {
    return this.#continuity.position;
  }

  /** @returns everything between `after` and the position, or `undefined` when only the log can tell. */
  since(after: Cursor): readonly ProgressEvent[] | undefined {
    const { position } = this;
    if (after.epoch !== position?.epoch || after.seq > position.seq) return undefined;
    const first = position.seq + 1 - this.#recent.length;
    return after.seq + 1 >= first ? this.#recent.slice(after.seq + 1 - first) : undefined;
  }

  /** Reads what is true now; those who ask at the same time share one read, which may have begun before they asked. */
  snapshot(operationId: string | undefined): Promise<Snapshot> {
    const reading = this.#snapshots.get(operationId);
    if (reading) return reading;
    const started = this.#readSnapshot(operationId).finally(() => this.#snapshots.delete(operationId));
    this.#snapshots.set(operationId, started);
    return started;
  }

  /** Looks whether something was missed: after a reconnect, and every few seconds, since a lost last event shows no gap. */
  check(): void {
    if (this.#continuity.live) void this.#repair();
  }

  async #start(): Promise<void> {
    const leave = await this.subscriber.subscribe(this.channel, (message) => this.#take(message));
    if (this.#closed) return leave();
    this.#leave = leave;
    // What is published before this read is history for those who join; all after it is heard.
    await this.#catchUp();
  }

  #take(message: string): void {
    const event = ProgressEvent.fromMessage(message);
    // The other messages are the ingesters' own.
    if (!event && message !== 'purged') return;
    if (!event && !this.#continuity.live) return this.#continuity.break();
    const verdict = event ? this.#continuity.judge(event) : 'gap';
    if (event && verdict === 'next') this.#deliver(event);
    if (verdict !== 'gap') return;
    this.metrics.repairs.inc();
    void this.#repair();
  }

  async #repair(): Promise<void> {
    this.#continuity.hold();
    while (!this.#closed) {
      try {
        return await this.#catchUp();
      } catch (error) {
        this.#log.debug(`repair: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  async #catchUp(): Promise<void> {
    do {
      this.#continuity.hold();
      await this.#readLog();
    } while (!this.#closed && !this.#continuity.resume((event) => this.#deliver(event)));
  }

  async #readLog(): Promise<void> {
    for (;;) {
      const { position } = this.#continuity;
      const page: LogPage = await this.scripts.read(this.projectId, position);
      if (this.#closed) return;
      if (page.overdue.length > 0) this.onOverdue(page.overdue);
      if (!page.events) {
        this.#continuity.position = page.end;
        this.#recent = [];
        this.#recentBytes = 0;
        if (position) for (const listener of this.listeners) listener.jumped();
        return;
      }
      for (const event of page.events) this.#deliver(event);
      if (this.#continuity.position!.seq >= page.end.seq) return;
    }
  }

  async #readSnapshot(operationId: string | undefined): Promise<Snapshot> {
    for (;;) {
      const { at, operations } = await (operationId === undefined
        ? this.scripts.operations(this.projectId, MAX_OPERATIONS)
        : this.scripts.operation(this.projectId, operationId).then(({ at: when, operation }) => ({
            at: when,
            operations: operation ? [operation] : [],
          })));
      if (at) {
        const states = operations.map(({ state }) => state);
        const ended = operationId !== undefined && operations[0]?.ended === true;
        return { at, event: ProgressEvent.snapshot(at, states), ended };
      }
      // A purge has removed the log's record since the feed made it: it is made again.
      await this.scripts.read(this.projectId, undefined);
    }
  }

  #deliver(event: ProgressEvent): void {
    this.#continuity.position = event.cursor;
    this.#recent.push(event);
    this.#recentBytes += event.json.length;
    while (this.#recent.length > RECENT_EVENTS || this.#recentBytes > RECENT_BYTES) {
      this.#recentBytes -= this.#recent.shift()!.json.length;
    }
    for (const listener of this.listeners) listener.hear(event);
  }
}
