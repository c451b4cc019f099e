import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { invalid } from '../common/validation.js';
import { AppConfig } from '../config/app-config.js';
import { StatsRegistry } from '../monitoring/stats.registry.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { RedisTracking } from '../redis/redis-tracking.js';
import { CacheEpoch } from './cache-epoch.js';
import { CacheReader } from './cache-reader.js';
import { CacheKeys, DOCUMENT_TYPE } from './cache.keys.js';
import { CacheMetrics, type CacheStats } from './cache.metrics.js';
import { CacheScripts } from './cache.scripts.js';
import { CacheSweeper } from './cache.sweeper.js';
import { DocumentCodec, type StoredDocument } from './document-codec.js';
import { DocumentDto } from './dto/document.dto.js';
import { EntryCache } from './entry/entry-cache.js';
import type { Loader } from './entry/entry-loads.js';
import { type Entry, type EntryName, EntryType, type LoadPolicy } from './entry/entry-type.js';
import { L1, type TrackedRead } from './l1.js';

/** A document: the four fields that every program agrees on. */
export interface Document {
  readonly id: string;
  readonly title: string;
  readonly content: string;
  /** Integer ≥ 0. */
  readonly version: number;
}

export interface PutOptions {
  /** How long it is kept, in seconds (1 to 31,536,000). Default: the setting `DOCUMENT_TTL_SECONDS`. */
  readonly ttlSeconds?: number | undefined;
  /**
   * The fence of the lock under which the caller writes (`lock.fence`): a write with a smaller fence than one before is refused,
   * so a holder that lost its lock unnoticed cannot overwrite what the next one wrote. Always the same lock for a document.
   */
  readonly fence?: number | undefined;
}

const NOTHING = Buffer.alloc(0);
const MAX_TTL_SECONDS = 31_536_000;
/** Each lost round means that another writer won one: only endless foreign writes can use them up. */
const MAX_ROUNDS = 200;

/** The document cache of each project. Every method may reject with AppError `redis_unavailable`. */
@Injectable()
export class CacheService implements OnModuleInit {
  /** Documents as entries: `cache.getOrLoad(projectId, cache.documents.of('guide'), loader)`. */
  readonly documents: EntryType<DocumentDto>;
  readonly #l1: L1<StoredDocument>;

  constructor(
    private readonly config: AppConfig,
    private readonly reader: CacheReader,
    private readonly epoch: CacheEpoch,
    private readonly sweeper: CacheSweeper,
    private readonly scripts: CacheScripts,
    private readonly codec: DocumentCodec,
    private readonly keys: CacheKeys,
    private readonly metrics: CacheMetrics,
    private readonly purges: PurgeRegistry,
    private readonly figures: StatsRegistry,
    private readonly entries: EntryCache,
    private readonly tracking: RedisTracking,
  ) {
    this.#l1 = metrics.watch('documents', new L1<StoredDocument>(tracking));
    this.documents = new EntryType({
      name: DOCUMENT_TYPE,
      type: DocumentDto,
      ttlMs: config.DOCUMENT_TTL_SECONDS * 1000,
      compressFrom: config.CACHE_COMPRESS_MIN_BYTES > 0 ? config.CACHE_COMPRESS_MIN_BYTES : Infinity,
      fields: ['id', 'title', 'content', 'version'],
      accepts: ({ id }, of) => id === of,
      l1: true,
    });
  }

  onModuleInit(): void {
    // The purge sweeps for itself; the mark goes last, because what it hides would come back to life without it.
    this.purges.register(
      'cache',
      (projectId) => this.#invalidate(projectId),
      (projectId) => [this.keys.epoch(projectId)],
    );
    this.figures.register('cache', async (projectId) => {
      const { hits, misses } = this.metrics.stats(projectId);
      return { hits, misses, hit_rate: hits + misses === 0 ? null : hits / (hits + misses) };
    });
  }

  /**
   * @returns the entry's value, from the cache or else from its loader: one load, however many callers and processes ask at
   * once. A load during which the entry was deleted, invalidated or written by anybody is dropped and done anew. Treat the
   * value as read-only: callers of one load share it. Redis being away is no error: the loader runs, bounded in parallel.
   * @param overrides what differs from the entry type for this call.
   * @throws what the loader throws, unless a stale value is within its grace time; `LoadTimeout`.
   */
  getOrLoad<T extends object>(
    projectId: ProjectId,
    entry: Entry<T>,
    loader: Loader<T>,
    overrides?: Partial<LoadPolicy>,
  ): Promise<T> {
    return this.entries.getOrLoad(projectId, entry, loader, overrides);
  }

  /** Removes an entry, also one that is being loaded: every read that starts after this has returned misses it. */
  async drop(projectId: ProjectId, entry: EntryName): Promise<void> {
    if (entry.type.name === DOCUMENT_TYPE) await this.delete(projectId, entry.id);
    else await this.entries.drop(projectId, entry);
  }

  /** @returns the document, or `undefined` when there is none or what is stored is no document of this id. Read-only. */
  async get(projectId: ProjectId, docId: string): Promise<StoredDocument | undefined> {
    const key = this.keys.doc(projectId, docId);
    const markKey = this.keys.epoch(projectId);
    const kept = this.#l1.get(markKey, key);
    if (kept) {
      this.metrics.read(projectId, 'hit', 'l1');
      return kept;
    }
    const tracked = this.#l1.begin(markKey, key);
    try {
      const found = await this.#read(projectId, key, docId, undefined, tracked);
      if (found) tracked?.keep(found.own(), found.json.length);
      return found;
    } finally {
      tracked?.end();
    }
  }

  /** @returns that version of the document, or `undefined`, as {@link get}. */
  getVersion(projectId: ProjectId, docId: string, version: number): Promise<StoredDocument | undefined> {
    return this.#read(projectId, this.keys.version(projectId, docId, version), docId, version);
  }

  /**
   * Stores the document, also as that version. A stored one with the same version, title and content is kept as it is, with
   * its foreign fields, and lives on for the new TTL; what is stored but is no document is replaced.
   * @throws AppError `conflict` when the stored version is newer, or equal with other content; `lock_lost` when a greater
   * fence has written it; `storage_full`;
   * `validation_failed`; `payload_too_large`.
   */
  async put(
    projectId: ProjectId,
    document: Document,
    { ttlSeconds = this.config.DOCUMENT_TTL_SECONDS, fence }: PutOptions = {},
  ): Promise<void> {
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
      throw invalid('cache.put', [
        { field: 'ttl_seconds', message: `must be an integer from 1 to ${MAX_TTL_SECONDS}` },
      ]);
    }
    const encoded = await this.codec.encode(document);
    const { id: docId, version } = document;
    let expected: Buffer = NOTHING;
    let value = encoded;
    const key = this.keys.doc(projectId, docId);
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const input = { docId, version, expected, value, ttlMs: ttlSeconds * 1000, fence };
      const reply = await this.scripts.put(projectId, input).finally(() => this.tracking.forget(key));
      if (reply.outcome === 'stored') return;
      if (reply.outcome === 'fenced') {
        throw new AppError('lock_lost', 'cache.put', 'A later holder of the lock has written the document.');
      }
      if (reply.outcome === 'epoch_unknown') {
        await this.epoch.load(projectId);
        continue;
      }
      expected = reply.current;
      value = (await this.#isSame(document, expected)) ? expected : encoded;
    }
    throw new AppError('conflict', 'cache.put', 'Other programs keep changing the document.');
  }

  /**
   * Removes the document and the versions that the API wrote, at once; versions that other programs wrote follow in the
   * background. A document that does not exist is fine.
   */
  async delete(projectId: ProjectId, docId: string): Promise<void> {
    const key = this.keys.doc(projectId, docId);
    await this.scripts.delete(projectId, docId).finally(() => this.tracking.forget(key));
    this.sweeper.sweepSoon(projectId);
  }

  /**
   * Removes all documents of the project, in O(1): every read that starts after this has returned misses them, in every
   * process. The memory follows in the background; until then a plain `GET` of another program may see an old value, and what
   * other programs write may be hidden or dropped.
   */
  async invalidateAll(projectId: ProjectId): Promise<void> {
    await this.#invalidate(projectId);
    this.sweeper.sweep(projectId);
  }

  /** @returns how this process's reads of the project's documents ended, since it started or last forgot the project. */
  stats(projectId: ProjectId): CacheStats {
    return this.metrics.stats(projectId);
  }

  async #invalidate(projectId: ProjectId): Promise<void> {
    const key = this.keys.epoch(projectId);
    await this.epoch.invalidate(projectId).finally(() => this.tracking.forget(key));
  }

  async #read(
    projectId: ProjectId,
    key: string,
    docId: string,
    version?: number,
    tracked?: TrackedRead<StoredDocument>,
  ): Promise<StoredDocument | undefined> {
    const [stored] = await this.reader.read(projectId, key, [], tracked);
    if (!stored) {
      this.metrics.read(projectId, (await this.reader.isForeignKind(key)) ? 'invalid' : 'miss');
      return undefined;
    }
    const found = await this.codec.decode(stored, docId, version);
    this.metrics.read(projectId, found ? 'hit' : 'invalid');
    return found;
  }

  /** @returns whether the stored bytes say the same as the document already. @throws AppError `conflict` when they win over it. */
  async #isSame(document: Document, stored: Buffer): Promise<boolean> {
    const current = (await this.codec.decode(stored, document.id))?.document;
    if (!current || current.version < document.version) return false;
    if (current.version > document.version) {
      throw new AppError('conflict', 'cache.put', `Version ${current.version} is stored, which is newer.`);
    }
    if (current.title === document.title && current.content === document.content) return true;
    throw new AppError('conflict', 'cache.put', `Version ${current.version} is stored with other content.`);
  }
}
