import { Injectable } from '@nestjs/common';
import { isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { RedisClock } from '../../redis/redis-clock.js';
import { RedisGateway } from '../../redis/redis-gateway.js';
import { RedisTracking } from '../../redis/redis-tracking.js';
import { CacheReader } from '../cache-reader.js';
import { CacheKeys } from '../cache.keys.js';
import { CacheMetrics } from '../cache.metrics.js';
import { L1, type TrackedRead } from '../l1.js';
import { DirectLoads } from './direct-loads.js';
import { digestOf, EntryCodec, type Meta } from './entry-codec.js';
import { EntryLoads, type Loaded, type Loader, type LoadRequest } from './entry-loads.js';
import { type Entry, entryKey, type EntryName, type LoadPolicy } from './entry-type.js';

/** A fresh value that is kept in the process. */
interface KeptEntry {
  readonly value: object;
  readonly meta: Meta | undefined;
}

/** What a read has found. `seen` names it for the lease: whoever loads replaces that and nothing newer. */
interface Look<T> {
  readonly value: T | undefined;
  readonly fresh: boolean;
  readonly meta: Meta | undefined;
  readonly seen: () => string;
}

/** Each lost round means that somebody changed the entry during a load; then its value is served without being stored. */
const MAX_ROUNDS = 8;
/** What an object takes in memory for each byte of its JSON text, about. */
const OBJECT_PER_JSON = 3;

/** Values of any type behind the project's cache; see `CacheService.getOrLoad`. */
@Injectable()
export class EntryCache {
  readonly #direct = new DirectLoads();
  readonly #l1: L1<KeptEntry>;

  constructor(
    private readonly reader: CacheReader,
    private readonly loads: EntryLoads,
    private readonly codec: EntryCodec,
    private readonly keys: CacheKeys,
    private readonly clock: RedisClock,
    private readonly gateway: RedisGateway,
    private readonly metrics: CacheMetrics,
    private readonly tracking: RedisTracking,
  ) {
    this.#l1 = metrics.watch('entries', new L1<KeptEntry>(tracking));
  }

  async getOrLoad<T extends object>(
    projectId: ProjectId,
    entry: Entry<T>,
    loader: Loader<T>,
    overrides?: Partial<LoadPolicy>,
  ): Promise<T> {
    const policy = entry.type.policy(overrides);
    const key = entryKey(this.keys, projectId, entry);
    const kept = entry.type.l1 ? this.#kept(projectId, key) : undefined;
    const due = kept !== undefined && this.#isDue(kept.meta, entry.type.earlyRefresh);
    if (kept && !due) {
      this.metrics.read(projectId, 'hit', 'l1');
      return kept.value as T;
    }
    let again: { look?: Promise<unknown> } = {};
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const look = await ((again.look ??= this.#look(projectId, entry, key)) as Promise<Look<T> | undefined>);
      if (!look) return this.#loadDirect(projectId, key, entry, loader, policy, undefined);
      const request = (): LoadRequest<T> => ({ projectId, entry, key, policy, loader, seen: look.seen() });
      if (look.value && look.fresh) {
        if ((due && look.meta) || this.#isDue(look.meta, entry.type.earlyRefresh)) this.loads.early(request());
        return look.value;
      }
      const loaded = await this.#load(request(), look.value);
      if (loaded.kind === 'value') return loaded.value;
      if (loaded.kind === 'again') again = loaded;
      if (loaded.kind === 'away') return this.#loadDirect(projectId, key, entry, loader, policy, look.value);
    }
    return this.#loadOnce(entry, loader, policy);
  }

  /** Removes the entry: a load that is under way stores nothing. */
  async drop(projectId: ProjectId, entry: EntryName): Promise<void> {
    const { name } = entry.type;
    const keys = [
      entryKey(this.keys, projectId, entry),
      this.keys.meta(projectId, name, entry.id),
      this.keys.lease(projectId, name, entry.id),
    ];
    try {
      await this.gateway.call('cache', 'cache.drop', (client) => client.unlink(...keys));
    } finally {
      this.tracking.forget(keys[0]!);
    }
  }

  /** @returns the entry as it stands in the process, while it is fresh. */
  #kept(projectId: ProjectId, key: string): KeptEntry | undefined {
    const kept = this.#l1.get(this.keys.epoch(projectId), key);
    return kept && (!kept.meta || this.clock.now('cache') < kept.meta.freshUntil) ? kept : undefined;
  }

  /** @returns `undefined` when Redis is away. */
  async #look<T extends object>(projectId: ProjectId, entry: Entry<T>, key: string): Promise<Look<T> | undefined> {
    const tracked = entry.type.l1 ? this.#l1.begin(this.keys.epoch(projectId), key) : undefined;
    try {
      const metaKey = this.keys.meta(projectId, entry.type.name, entry.id);
      const [bytes, noted] = await this.reader.read(projectId, key, [metaKey], tracked);
      return await this.#judge(projectId, entry, bytes, noted, tracked);
    } catch (error) {
      if (isAppError(error)) return undefined;
      throw error;
    } finally {
      tracked?.end();
    }
  }

  async #judge<T extends object>(
    projectId: ProjectId,
    entry: Entry<T>,
    bytes: Buffer | undefined,
    noted: Buffer | undefined,
    tracked: TrackedRead<KeptEntry> | undefined,
  ): Promise<Look<T>> {
    if (!bytes) {
      this.metrics.read(projectId, 'miss');
      return { value: undefined, fresh: false, meta: undefined, seen: () => '' };
    }
    const meta = this.codec.meta(entry.type, bytes, noted);
    const found = await this.codec.decode(entry, bytes, meta !== undefined);
    // What others wrote is fresh as long as it is there: its lifetime is theirs to say.
    const fresh = found !== undefined && (!meta || this.clock.now('cache') < meta.freshUntil);
    this.metrics.read(projectId, found ? (fresh ? 'hit' : 'miss') : 'invalid');
    if (fresh) tracked?.keep({ value: found.value, meta }, OBJECT_PER_JSON * found.jsonBytes);
    return { value: found?.value, fresh, meta, seen: () => digestOf(bytes, noted) };
  }

  // XFetch (Vattani et al., 2015): the nearer the end and the longer a load takes, the likelier one reader loads early.
  #isDue(meta: Meta | undefined, beta: number): boolean {
    if (!meta || beta <= 0) return false;
    return this.clock.now('cache') - meta.loadMs * beta * Math.log(Math.random()) >= meta.freshUntil;
  }

  async #load<T extends object>(request: LoadRequest<T>, stale: T | undefined): Promise<Loaded<T>> {
    if (!stale) return this.loads.share(request);
    const served = { kind: 'value', value: stale } as const;
    const { softTimeoutMs } = request.policy;
    let timer: NodeJS.Timeout | undefined;
    const soft = new Promise<Loaded<T>>((resolve) => {
      if (softTimeoutMs !== Infinity) timer = setTimeout(() => resolve(served), softTimeoutMs);
    });
    try {
      const loaded = await Promise.race([this.loads.share(request).catch(() => served), soft]);
      if (loaded === served) this.metrics.load('stale');
      return loaded;
    } finally {
      clearTimeout(timer);
    }
  }

  async #loadDirect<T extends object>(
    projectId: ProjectId,
    key: string,
    entry: Entry<T>,
    loader: Loader<T>,
    policy: Required<LoadPolicy>,
    stale: T | undefined,
  ): Promise<T> {
    this.metrics.load('direct');
    try {
      return await this.#direct.share(projectId, key, () => this.#loadOnce(entry, loader, policy));
    } catch (error) {
      if (!stale) throw error;
      this.metrics.load('stale');
      return stale;
    }
  }

  async #loadOnce<T extends object>(entry: Entry<T>, loader: Loader<T>, policy: Required<LoadPolicy>): Promise<T> {
    const loaded = await this.loads.run(loader, policy.hardTimeoutMs);
    return (await this.codec.encode(entry, loaded)).value;
  }
}
