import { Injectable } from '@nestjs/common';
import { isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { monotonicMs } from '../../common/time.js';
import { randomId } from '../../common/tokens.js';
import { RedisTracking } from '../../redis/redis-tracking.js';
import { CacheEpoch } from '../cache-epoch.js';
import { CacheMetrics } from '../cache.metrics.js';
import { EntryCodec } from './entry-codec.js';
import { EntryScripts, type Fill } from './entry.scripts.js';
import { type Entry, type EntryName, jittered, type LoadPolicy } from './entry-type.js';
import { LoadWakes, type LoadWaiter } from './load-wakes.js';

/** Gets a value from where it comes from. Its signal fires when the load has taken its hard time-out. */
export type Loader<T> = (signal: AbortSignal) => Promise<T> | T;

/** A load took longer than its hard time-out; what it still gives is dropped. */
export class LoadTimeout extends Error {
  override readonly name = 'LoadTimeout';
}

/**
 * What came of a load: its value, or that the entry must be looked at again, or that Redis is away. Then the value, if there
 * is one, is good only for who began the load: nobody knows what was invalidated since.
 */
export type Loaded<T> =
  | { readonly kind: 'value'; readonly value: T }
  /** Those who shared the load get the same object, and in it may share their next look: it begins after all of them did. */
  | { readonly kind: 'again'; look?: Promise<unknown> }
  | { readonly kind: 'away'; readonly value?: T };

/** What is to be loaded, and what the caller has seen instead. */
export interface LoadRequest<T extends object> {
  readonly projectId: ProjectId;
  readonly entry: Entry<T>;
  /** The entry's key: loads are shared by it, and it names the project. */
  readonly key: string;
  readonly policy: Required<LoadPolicy>;
  readonly loader: Loader<T>;
  /** Digest of the value that is stale or invalid; `''` for none. */
  readonly seen: string;
}

const AWAY = { kind: 'away' } as const;
/** Who waits for another process looks so often by itself: a wake-up may be lost, and a lease end without one. */
const LOOK_MS = 500;

/**
 * Loads of entries: one of an entry in the process, and by a lease one over all processes.
 *
 * A load is shared only until its value is sent to Redis. Whoever begins to read after that begins with Redis, so nobody gets
 * a value that an invalidation, finished before he asked, has made old.
 */
@Injectable()
export class EntryLoads {
  readonly #running = new Map<string, Promise<Loaded<unknown>>>();

  constructor(
    private readonly scripts: EntryScripts,
    private readonly codec: EntryCodec,
    private readonly epoch: CacheEpoch,
    private readonly metrics: CacheMetrics,
    private readonly tracking: RedisTracking,
    private readonly wakes: LoadWakes,
  ) {}

  /** Joins the running load of the entry, or begins one. @throws what its loader throws. */
  async share<T extends object>(request: LoadRequest<T>): Promise<Loaded<T>> {
    const running = this.#running.get(request.key) as Promise<Loaded<T>> | undefined;
    if (running) return running;
    const loaded = await this.#begin(request, true);
    return loaded.kind === 'away' && loaded.value ? { kind: 'value', value: loaded.value } : loaded;
  }

  /** Begins a load in the background, unless one runs here or in another process. Its failure is counted only. */
  early<T extends object>(request: LoadRequest<T>): void {
    if (!this.#running.has(request.key)) void this.#begin(request, false);
  }

  /** Calls the loader with its hard time-out. */
  async run<T>(loader: Loader<T>, hardTimeoutMs: number): Promise<T> {
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new LoadTimeout(`the load took longer than ${hardTimeoutMs} ms`);
        over.abort(error);
        reject(error);
      }, hardTimeoutMs);
    });
    try {
      return await Promise.race([(async () => loader(over.signal))(), timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  #begin<T extends object>(request: LoadRequest<T>, patient: boolean): Promise<Loaded<T>> {
    const close = (): void => {
      if (this.#running.get(request.key) === load) this.#running.delete(request.key);
    };
    const load: Promise<Loaded<T>> = this.#load(request, patient, close).finally(close);
    this.#running.set(request.key, load);
    // Everybody may have left with a stale value; a failure is counted where it happens.
    load.catch(() => undefined);
    return load;
  }

  async #load<T extends object>(request: LoadRequest<T>, patient: boolean, close: () => void): Promise<Loaded<T>> {
    const { projectId, entry, policy } = request;
    const token = randomId();
    try {
      if (!(await this.#lease(request, token, patient))) return { kind: 'again' };
    } catch (error) {
      return away(error);
    }
    const started = monotonicMs();
    const encoded = await this.run(request.loader, policy.hardTimeoutMs)
      .then((loaded) => this.codec.encode(entry, loaded))
      .catch(async (error: unknown) => {
        this.metrics.load('failed');
        // Who asks from now on does not share the failure, but loads anew.
        close();
        await this.#abandon(projectId, entry, token);
        throw error;
      });
    close();
    const freshMs = jittered(policy.ttlMs);
    const fill = {
      bytes: encoded.bytes,
      sum: encoded.sum,
      freshMs,
      keepMs: freshMs + policy.graceMs,
      loadMs: Math.ceil(monotonicMs() - started),
    };
    const outcome = await this.#fill(projectId, entry, token, fill).finally(() => this.tracking.forget(request.key));
    if (outcome !== 'away') this.metrics.load(outcome);
    if (outcome === 'away') return { kind: 'away', value: encoded.value };
    return outcome === 'lost' ? { kind: 'again' } : { kind: 'value', value: encoded.value };
  }

  /** @returns whether this process is to load; `false` when the entry changed or, for who is not patient, is being loaded. */
  async #lease<T extends object>(request: LoadRequest<T>, token: string, patient: boolean): Promise<boolean> {
    const { projectId, entry, policy, seen } = request;
    let waiter: LoadWaiter | undefined;
    try {
      for (;;) {
        const reply = await this.scripts.lease(projectId, entry, token, policy.hardTimeoutMs + 1000, seen);
        if (reply.outcome === 'granted') return true;
        if (reply.outcome === 'changed') return false;
        if (reply.outcome === 'epoch_unknown') await this.epoch.load(projectId);
        else if (!patient) return false;
        else if (!waiter) {
          // What ended before the subscription stood is found by asking again.
          waiter = await this.wakes.wait(projectId, entry);
        } else if ((await waiter.next(Math.min(reply.leftMs + 1, LOOK_MS))) === 'stored') return false;
      }
    } finally {
      waiter?.leave();
    }
  }

  async #fill<T extends object>(
    projectId: ProjectId,
    entry: Entry<T>,
    token: string,
    fill: Fill,
  ): Promise<'stored' | 'lost' | 'full' | 'away'> {
    try {
      for (;;) {
        const reply = await this.scripts.fill(projectId, entry, token, fill);
        if (reply.outcome === 'epoch_unknown') await this.epoch.load(projectId);
        else {
          if (reply.waited) this.wakes.tell(projectId, entry, reply.outcome === 'stored' ? 'stored' : 'open');
          return reply.outcome;
        }
      }
    } catch (error) {
      if (!isAppError(error, 'storage_full')) return 'away';
      // No room for it: the value is as good as stored if nobody has touched the entry meanwhile.
      return (await this.#abandon(projectId, entry, token)) ? 'full' : 'lost';
    }
  }

  /** Gives the lease back, to the next who asks. @returns whether nobody has touched the entry since it was given. */
  async #abandon(projectId: ProjectId, entry: EntryName, token: string): Promise<boolean> {
    try {
      const { good, waited } = await this.scripts.abandon(projectId, entry, token);
      if (waited) this.wakes.tell(projectId, entry, 'open');
      return good;
    } catch {
      return false;
    }
  }
}

function away(error: unknown): typeof AWAY {
  if (isAppError(error)) return AWAY;
  throw error;
}
