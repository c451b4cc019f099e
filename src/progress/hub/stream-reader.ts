import { AppError, isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { type Cursor, formatCursor, parseCursor } from '../cursor.js';
import { ProgressEvent } from '../progress-event.js';
import type { ProgressMetrics } from '../progress.metrics.js';
import type { ProgressScripts } from '../progress.scripts.js';
import { Continuity } from './continuity.js';
import { coalesce } from './coalesce.js';
import type { FeedListener, ProjectFeed } from './project-feed.js';
import type { ProgressHub } from './progress-hub.js';

/** Lets a reader that takes its time set the pace. */
export interface Flow {
  /** Whether the reader has enough for now. */
  readonly full: boolean;
  /** Settles when it can take more. */
  drained(): Promise<void>;
}

export interface StreamOptions {
  /** Only events of this operation; the stream ends with it. */
  readonly operationId?: string | undefined;
  /** Id of the last event that was seen: goes on after it. Without it a `$snapshot` comes first. */
  readonly after?: string | undefined;
  /** Ends the stream. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, when the stream stands: from then on nothing is missed. `cursor()` is at any time where it has come to. */
  readonly opened?: ((cursor: () => string) => void) | undefined;
  /** Without it the reader gets everything as fast as it comes. */
  readonly flow?: Flow | undefined;
}

/** Where the events go. */
export interface Sink {
  next(event: ProgressEvent): void;
  complete(): void;
  error(error: unknown): void;
}

const RETRY_MS = 200;

/**
 * One stream: history first, then live, without a gap or a repetition between them. It hears the feed from before it reads
 * history, and verifies that each event follows the one before. Whenever it does not (it was too slow, or the feed jumped),
 * it reads on from the log at its own position, so that being late costs no memory and loses nothing; a position that the
 * log no longer has ends in `$reset` and `$snapshot`.
 */
export class StreamReader implements FeedListener {
  readonly #continuity = new Continuity();
  #feed: ProjectFeed | undefined;
  #leave: (() => void) | undefined;
  /** Whether it reads on because it was too slow: then it gets text and counts merged. */
  #slow = false;
  #opened = false;
  #closed = false;

  constructor(
    private readonly projectId: ProjectId,
    private readonly options: StreamOptions,
    private readonly sink: Sink,
    private readonly hub: ProgressHub,
    private readonly scripts: ProgressScripts,
    private readonly metrics: ProgressMetrics,
  ) {}

  /** @param before settles before the stream is said to stand. */
  async open(before: () => Promise<void>): Promise<void> {
    const { operationId, after } = this.options;
    try {
      const { feed, leave } = this.hub.join(this.projectId, this);
      this.#leave = leave;
      await feed.ready;
      const cursor = parseCursor(after);
      if (!this.#closed && operationId !== undefined && cursor && (await this.#isOver(operationId, cursor))) {
        return this.#complete();
      }
      this.#feed = feed;
      this.#continuity.position = cursor;
      await this.#catchUp(feed, after !== undefined && after !== '');
      if (!this.#closed) await before();
      if (this.#closed) return;
      this.#opened = true;
      this.options.opened?.(() => formatCursor(this.#continuity.position!));
    } catch (error) {
      this.#fail(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#leave?.();
  }

  hear(event: ProgressEvent): void {
    if (this.#closed) return;
    const verdict = this.#continuity.judge(event);
    // A reader that has enough for now reads on from the log later.
    if (verdict === 'gap' || (verdict === 'next' && this.options.flow?.full)) void this.#readOn();
    else if (verdict === 'next') this.#take(event);
  }

  jumped(): void {
    if (this.#closed) return;
    if (this.#continuity.live) void this.#readOn();
    else this.#continuity.break();
  }

  stopped(): void {
    // Before it stands, an end would mean that nothing is left to say.
    if (this.#opened) this.#complete();
    else this.#fail(new AppError('redis_unavailable', 'progress.stream', 'The service is shutting down.'));
  }

  async #readOn(): Promise<void> {
    this.#continuity.hold();
    while (!this.#closed) {
      try {
        return await this.#catchUp(this.#feed!, true);
      } catch (error) {
        if (!isAppError(error, 'redis_unavailable', 'storage_full')) return this.#fail(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  // Reads history up to where the feed can be followed.
  async #catchUp(feed: ProjectFeed, hadCursor: boolean): Promise<void> {
    do {
      this.#continuity.hold();
      await this.#readHistory(feed, hadCursor);
    } while (!this.#closed && !this.#continuity.resume((event) => this.#take(event)));
    this.#slow = false;
  }

  async #readHistory(feed: ProjectFeed, hadCursor: boolean): Promise<void> {
    while (this.#continuity.position && !this.#closed) {
      await this.#patience();
      const { position } = this.#continuity;
      const recent = feed.since(position);
      const { events, end } = recent
        ? { events: recent, end: feed.position! }
        : await this.scripts.read(this.projectId, position);
      if (!events) break;
      this.#takePage(events);
      if (this.#continuity.position.seq >= end.seq) return;
    }
    if (!this.#closed) await this.#snapshot(feed, hadCursor || this.#continuity.position !== undefined);
  }

  // While a reader takes nothing, nothing is kept for it.
  async #patience(): Promise<void> {
    const { flow } = this.options;
    if (flow?.full) {
      this.#slow = true;
      this.#continuity.break();
      await flow.drained();
    }
    this.#continuity.hold();
  }

  // Stops where the reader has enough: what is left is read again.
  #takePage(events: readonly ProgressEvent[]): void {
    const { flow, operationId } = this.options;
    const mine = operationId === undefined ? events : events.filter((event) => event.operationId === operationId);
    for (const run of this.#slow ? coalesce(mine) : mine.map((event) => [event])) {
      for (const event of run) this.#take(event);
      if (flow?.full) return;
    }
    this.#continuity.position = events.at(-1)?.cursor ?? this.#continuity.position;
  }

  async #snapshot(feed: ProjectFeed, reset: boolean): Promise<void> {
    const { operationId } = this.options;
    const { at, event, ended } = await feed.snapshot(operationId);
    if (this.#closed) return;
    if (reset) {
      this.metrics.resets.inc();
      this.sink.next(ProgressEvent.reset());
    }
    this.#continuity.position = at;
    this.sink.next(event);
    if (operationId !== undefined && ended) return this.#end(operationId);
    // Others asked for it earlier: what the feed has told since then is not held back for this stream.
    const { position } = feed;
    if (position?.epoch === at.epoch && position.seq > at.seq) this.#continuity.break();
  }

  // A client that has seen the end of its operation is told that nothing more comes: it must not start over with a snapshot.
  async #isOver(operationId: string, cursor: Cursor): Promise<boolean> {
    const { at, operation } = await this.scripts.operation(this.projectId, operationId);
    if (!operation?.ended || cursor.epoch !== at?.epoch || cursor.seq > at.seq) return false;
    // An operation that ended in an earlier epoch ended before anything in this one.
    return operation.cursor?.epoch !== at.epoch || operation.cursor.seq <= cursor.seq;
  }

  #take(event: ProgressEvent): void {
    if (this.#closed) return;
    const { operationId } = this.options;
    this.#continuity.position = event.cursor;
    if (operationId !== undefined && event.operationId !== operationId) return;
    this.sink.next(event);
    if (operationId !== undefined && event.ends) this.#end(operationId);
  }

  #end(operationId: string): void {
    if (this.#closed) return;
    this.sink.next(ProgressEvent.end(this.#continuity.position!, operationId));
    this.#complete();
  }

  #complete(): void {
    if (this.#closed) return;
    this.close();
    this.sink.complete();
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.sink.error(error);
  }
}
