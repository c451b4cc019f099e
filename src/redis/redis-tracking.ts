import { randomUUID } from 'node:crypto';
import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { parseProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { KeyBuilder } from './key-builder.js';
import { RedisConnections, type TrackedPair } from './redis-connections.js';
import { RedisGateway } from './redis-gateway.js';

/** Where Redis tells what has changed (Redis manual, client-side caching, RESP2). */
const CHANNEL = '__redis__:invalidate';
const PROBE_EVERY_MS = 250;
const PROBE_TTL_MS = 5000;
/** What is remembered counts for so long after the last proof that every change is heard of. */
const PROOF_MS = 1500;

/** What a process remembers of what it has read. */
export interface TrackedMemory {
  /** The key has changed. */
  forget(key: string): void;
  /** Anything may have changed. */
  forgetAll(): void;
}

interface Probe {
  readonly sentAt: number;
  readonly heard: () => void;
  readonly lost: (error: Error) => void;
}

/**
 * Server-assisted client-side caching: Redis tells of every change to what was read through {@link read}, whoever made it.
 *
 * That nothing is missed is not believed but proven, each 250 ms: a probe is read and written on the one connection and must
 * come back as an invalidation on the other. All that was invalidated before it has then been heard, since both ways keep
 * their order. With either connection everything is forgotten, and nothing counts that is not proven within 1.5 s.
 */
@Injectable()
export class RedisTracking implements OnModuleInit, OnModuleDestroy {
  readonly #log = new Logger('RedisTracking');
  readonly #pair: TrackedPair | undefined;
  readonly #memories = new Set<TrackedMemory>();
  /** Probes stand in a project of this process's own, which no caller has. */
  readonly #project = parseProjectId(randomUUID());
  readonly #probes = new Map<string, Probe>();
  #probeCount = 0;
  /** The connection that hears, as Redis numbers it. */
  #hearing: number | undefined;
  /** Redis has agreed to track, at this time. */
  #armedAt: number | undefined;
  /** Grows when a connection is lost. */
  #losses = 0;
  #provenUntil = -Infinity;
  #readable = false;
  #arming = false;
  #refused = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(
    connections: RedisConnections,
    private readonly gateway: RedisGateway,
    private readonly keys: KeyBuilder,
  ) {
    this.#pair = connections.tracked;
  }

  onModuleInit(): void {
    if (!this.#pair) return;
    const { reads, invalidations } = this.#pair;
    invalidations.on('messageBuffer', (_channel: Buffer, keys: Buffer[] | null) => this.#heard(keys));
    invalidations.on('close', () => {
      this.#hearing = undefined;
      this.#lose();
    });
    reads.on('close', () => this.#lose());
    this.#timer = setInterval(() => this.#beat(reads, invalidations), PROBE_EVERY_MS).unref();
    this.#beat(reads, invalidations);
  }

  onModuleDestroy(): void {
    clearInterval(this.#timer);
    this.#lose();
  }

  /** Until when what is remembered counts, by the monotonic clock; `-Infinity` when nothing does. */
  get provenUntil(): number {
    return this.#provenUntil;
  }

  /** Whether what is read now through {@link read} may be remembered. */
  get proven(): boolean {
    return this.#readable && monotonicMs() < this.#provenUntil;
  }

  /** Tells the memory of every change from now on. */
  tell(memory: TrackedMemory): void {
    this.#memories.add(memory);
  }

  /** This process has changed the key: what it remembers goes at once, not only when Redis says so. */
  forget(key: string): void {
    for (const memory of this.#memories) memory.forget(key);
  }

  /** Sends reads of which Redis remembers the keys. Only while {@link proven}. @throws AppError as {@link RedisGateway.call}. */
  async read<T>(op: string, send: (client: Redis) => Promise<T>): Promise<T> {
    try {
      return await this.gateway.call('cache', op, () => send(this.#pair!.reads));
    } catch (error) {
      // Perhaps only this connection hangs: the others read on without it until it has proven itself.
      this.#readable = false;
      throw error;
    }
  }

  /** @returns when everything that Redis did before this call has been heard. @throws when a connection is lost. */
  async prove(): Promise<void> {
    if (this.#armedAt === undefined) throw new Error('not tracking');
    const { reads } = this.#pair!;
    this.#probeCount += 1;
    const key = this.keys.key(this.#project, 'cache', 'probe', String(this.#probeCount));
    const heard = new Promise<void>((resolve, reject) => {
      this.#probes.set(key, { sentAt: monotonicMs(), heard: resolve, lost: reject });
    });
    await Promise.all([heard, reads.get(key), reads.set(key, '', 'PX', PROBE_TTL_MS)]);
  }

  #heard(keys: readonly Buffer[] | null): void {
    // FLUSHALL and its like name no key.
    if (!keys) return this.#forgetAll();
    for (const name of keys) {
      const key = name.toString();
      if (this.#probes.has(key)) this.#proved(key);
      else this.forget(key);
    }
  }

  // News comes in order: what an earlier probe waits for (a flush may have taken its own) has come too.
  #proved(key: string): void {
    for (const [name, { sentAt, heard }] of this.#probes) {
      this.#probes.delete(name);
      this.#provenUntil = Math.max(this.#provenUntil, sentAt + PROOF_MS);
      heard();
      if (name === key) break;
    }
    this.#readable = true;
  }

  #beat(reads: Redis, invalidations: Redis): void {
    const waited =
      this.#armedAt === undefined ? 0 : monotonicMs() - Math.max(this.#armedAt, this.#provenUntil - PROOF_MS);
    if (waited > PROOF_MS) this.#lose();
    if (this.#armedAt !== undefined) this.prove().catch(() => undefined);
    else if (!this.#arming && reads.status === 'ready' && invalidations.status === 'ready') {
      this.#arming = true;
      void this.#arm(reads, invalidations).finally(() => (this.#arming = false));
    }
    // A half-open link never reports itself: a question that is not answered ends it (see `half-open.ts`).
    if (this.#hearing !== undefined) invalidations.ping().catch(() => undefined);
  }

  async #arm(reads: Redis, invalidations: Redis): Promise<void> {
    const losses = this.#losses;
    try {
      if (this.#hearing === undefined) {
        // A connection that subscribes may no longer ask for its number.
        const id = await invalidations.client('ID');
        await invalidations.subscribe(CHANNEL);
        this.#hearing = id;
      }
      // Default mode: what is read here, and nothing else, is tracked. The number is another after each reconnect.
      await reads.client('TRACKING', 'ON', 'REDIRECT', this.#hearing);
      if (losses !== this.#losses) return;
      this.#armedAt = monotonicMs();
      await this.prove();
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.#refused) this.#log.warn(`values are not kept in the process: ${reason}`);
      this.#refused = reason;
    }
  }

  #lose(): void {
    this.#losses += 1;
    this.#armedAt = undefined;
    this.#provenUntil = -Infinity;
    this.#readable = false;
    for (const probe of this.#probes.values()) probe.lost(new Error('the connection is lost'));
    this.#probes.clear();
    this.#forgetAll();
  }

  #forgetAll(): void {
    for (const memory of this.#memories) memory.forgetAll();
  }
}
