import { Lru } from '../common/lru.js';
import { monotonicMs } from '../common/time.js';
import type { RedisTracking, TrackedMemory } from '../redis/redis-tracking.js';

const MAX_ENTRIES = 10_000;
const MAX_BYTES = 32 * 1024 * 1024;
const MAX_PROJECTS = 10_000;
/** What an entry costs beside its value and its key, about. */
const OVERHEAD_BYTES = 256;
/** The longest stay: a server that evicts must hear now and then of what is in use. */
const MAX_STAY_MS = 10_000;

/** A project's clean mark, as it was read: values belong to it, and go with it. */
type Mark = object;

interface Kept<V> {
  readonly value: V;
  readonly mark: Mark;
  /** Monotonic ms. */
  readonly until: number;
}

/** A read that is under way, and what has become known of its keys since it was sent. */
export class TrackedRead<V> {
  disturbed = false;
  /** How long the value may be kept, monotonic ms; 0 while it is not known to be visible and to be tracked. */
  until = 0;

  constructor(
    readonly markKey: string,
    readonly key: string,
    private readonly memory: L1<V>,
  ) {}

  /** Says that the value was visible, and how many ms its key had left (`PTTL`) when it was read, after `sentAt`. */
  visible(sentAt: number, leftMs: number): void {
    this.until = sentAt + (leftMs === -1 ? MAX_STAY_MS : Math.min(leftMs, MAX_STAY_MS));
  }

  /** Keeps what the read gave, unless it is out of date by now. @param bytes its size in memory, about. */
  keep(value: V, bytes: number): void {
    this.memory.keep(this, value, bytes);
  }

  /** Must be called, whatever became of the read. */
  end(): void {
    this.memory.end(this);
  }
}

/**
 * Values that this process has read lately, each as long as Redis is known to hold it: every change to the key of the value or
 * to its project's mark ends it ({@link RedisTracking}), so does the end of its TTL, and so do 10 s.
 *
 * A value is kept only if nothing was heard of either key since its read was *sent*: the answer and the news of a change come
 * on different connections, in any order.
 */
export class L1<V> implements TrackedMemory {
  readonly #values: Lru<string, Kept<V>>;
  readonly #marks = new Lru<string, Mark>(MAX_PROJECTS);
  /** Reads under way, by each of their keys. */
  readonly #reads = new Map<string, Set<TrackedRead<V>>>();

  /** @param maxBytes what all values may take together, with their keys. */
  constructor(
    private readonly tracking: RedisTracking,
    maxBytes = MAX_BYTES,
  ) {
    this.#values = new Lru(MAX_ENTRIES, maxBytes);
    tracking.tell(this);
  }

  get size(): number {
    return this.#values.size;
  }

  get bytes(): number {
    return this.#values.weight;
  }

  /** @param markKey the key of the project's mark. @returns the value, if it is kept and known to be as it is in Redis. */
  get(markKey: string, key: string): V | undefined {
    const kept = this.#values.get(key);
    const now = monotonicMs();
    if (!kept || now >= this.tracking.provenUntil) return undefined;
    if (now < kept.until && kept.mark === this.#marks.get(markKey)) return kept.value;
    this.#values.delete(key);
    return undefined;
  }

  /** Call it before the read is sent. @returns `undefined` while nothing may be kept. */
  begin(markKey: string, key: string): TrackedRead<V> | undefined {
    if (!this.tracking.proven) return undefined;
    const read = new TrackedRead(markKey, key, this);
    for (const name of [markKey, key]) {
      const reads = this.#reads.get(name);
      if (reads) reads.add(read);
      else this.#reads.set(name, new Set([read]));
    }
    return read;
  }

  keep(read: TrackedRead<V>, value: V, bytes: number): void {
    if (read.disturbed || read.until <= monotonicMs()) return;
    const mark = this.#marks.get(read.markKey) ?? {};
    this.#marks.set(read.markKey, mark);
    this.#values.set(read.key, { value, mark, until: read.until }, bytes + 2 * read.key.length + OVERHEAD_BYTES);
  }

  end(read: TrackedRead<V>): void {
    for (const name of [read.markKey, read.key]) {
      const reads = this.#reads.get(name);
      if (reads?.delete(read) && reads.size === 0) this.#reads.delete(name);
    }
  }

  forget(key: string): void {
    this.#values.delete(key);
    this.#marks.delete(key);
    for (const read of this.#reads.get(key) ?? []) read.disturbed = true;
  }

  forgetAll(): void {
    this.#values.clear();
    this.#marks.clear();
    for (const reads of this.#reads.values()) for (const read of reads) read.disturbed = true;
  }
}
