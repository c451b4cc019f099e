import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { ProjectScan } from '../redis/project-scan.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { CacheEpoch } from './cache-epoch.js';
import { CacheKeys, type FoundVersion } from './cache.keys.js';
import { CacheMetrics } from './cache.metrics.js';
import { CacheScripts } from './cache.scripts.js';

const CLAIM_MS = 15_000;
/** After a failure, or when another process is at it: look again, lest its death leave the project dirty. */
const RETRY_MS = 5000;
/** Deletions that follow each other share one walk over the server. */
const REST_MS = 10_000;

/**
 * Reclaims in the background what invalidations and deletions have left, one project at a time.
 *
 * Who dies half-way leaves the project dirty, which hides the rest; the next process that reads a document of it goes on.
 */
@Injectable()
export class CacheSweeper implements OnModuleDestroy {
  readonly #log = new Logger('CacheSweeper');
  readonly #waiting = new Set<ProjectId>();
  readonly #resting = new Map<ProjectId, NodeJS.Timeout>();
  readonly #closing = new AbortController();
  #work: Promise<void> | undefined;

  constructor(
    private readonly gateway: RedisGateway,
    private readonly scan: ProjectScan,
    private readonly epoch: CacheEpoch,
    private readonly scripts: CacheScripts,
    private readonly keys: CacheKeys,
    private readonly metrics: CacheMetrics,
  ) {}

  async onModuleDestroy(): Promise<void> {
    this.#closing.abort();
    for (const timer of this.#resting.values()) clearTimeout(timer);
    await this.#work;
  }

  /** Sweeps the project as soon as this process has time. */
  sweep(projectId: ProjectId): void {
    if (this.#closing.signal.aborted) return;
    clearTimeout(this.#resting.get(projectId));
    this.#resting.delete(projectId);
    this.#waiting.add(projectId);
    this.#work ??= this.#drain();
  }

  /** {@link sweep}, unless the project rests after its last one: then when that is over. */
  sweepSoon(projectId: ProjectId): void {
    if (!this.#resting.has(projectId)) this.sweep(projectId);
  }

  // A project that is asked for again while it is swept comes again at the end: a Set visits what is added on the way.
  async #drain(): Promise<void> {
    for (const projectId of this.#waiting) {
      this.#waiting.delete(projectId);
      if (this.#closing.signal.aborted) break;
      try {
        await this.#sweepClaimed(projectId);
      } catch (error) {
        this.#log.warn({ msg: 'sweep put off', project_id: projectId, reason: (error as Error).message });
        this.#rest(projectId, RETRY_MS);
      }
    }
    this.#work = undefined;
  }

  #rest(projectId: ProjectId, ms: number): void {
    if (this.#closing.signal.aborted) return;
    clearTimeout(this.#resting.get(projectId));
    const timer = setTimeout(() => this.sweep(projectId), ms).unref();
    this.#resting.set(projectId, timer);
  }

  // The claim only spares double work: sweeping is right with any number of sweepers.
  async #sweepClaimed(projectId: ProjectId): Promise<void> {
    const claim = this.keys.sweeping(projectId);
    const claimed = await this.gateway.call('cache', 'cache.sweep.claim', (client) =>
      client.set(claim, '1', 'PX', CLAIM_MS, 'NX'),
    );
    if (claimed === null) return this.#rest(projectId, RETRY_MS);
    try {
      await this.#sweepAll(projectId);
    } finally {
      await this.gateway.call('cache', 'cache.sweep.release', (client) => client.del(claim));
    }
  }

  async #sweepAll(projectId: ProjectId): Promise<void> {
    for (;;) {
      // Before the walk: from now on the API notes what it writes, so all else that the walk meets is old.
      const { dirty, epoch } = await this.epoch.reconcile(projectId);
      if (!dirty) break;
      const swept = await this.#sweepInvalidated(projectId, epoch);
      if (this.#closing.signal.aborted) return;
      if (swept) await this.epoch.settle(projectId, epoch);
    }
    await this.#sweepDeleted(projectId);
  }

  /** @returns `false` when another epoch has begun meanwhile. */
  async #sweepInvalidated(projectId: ProjectId, epoch: string): Promise<boolean> {
    for await (const found of this.#walk(projectId)) {
      const removed = await this.scripts.sweep(projectId, epoch, found);
      if (removed === undefined) return false;
      this.metrics.swept(removed);
    }
    return true;
  }

  // Versions that other programs wrote; the API's own went with the document.
  async #sweepDeleted(projectId: ProjectId): Promise<void> {
    const deletedKey = this.keys.deleted(projectId);
    const last = await this.gateway.call('cache', 'cache.deleted', (client) =>
      client.zrange(deletedKey, '-1', '-1', 'WITHSCORES'),
    );
    const until = last[1];
    if (until === undefined) return;
    for await (const found of this.#walk(projectId)) {
      const versions = found.flatMap((key) => this.keys.parseVersion(projectId, key) ?? []);
      for (const [docId, ofDocument] of await this.#ofDeleted(deletedKey, versions)) {
        const keys = ofDocument.map(({ key }) => key);
        const numbers = ofDocument.map(({ version }) => version);
        this.metrics.swept(await this.scripts.sweepVersions(projectId, docId, keys, numbers));
      }
    }
    if (this.#closing.signal.aborted) return;
    await this.gateway.call('cache', 'cache.deleted', (client) => client.zremrangebyscore(deletedKey, '-inf', until));
    this.#rest(projectId, REST_MS);
  }

  async #ofDeleted(deletedKey: string, versions: FoundVersion[]): Promise<Map<string, FoundVersion[]>> {
    const docIds = [...new Set(versions.map(({ docId }) => docId))];
    if (docIds.length === 0) return new Map();
    const deletedAt = await this.gateway.call('cache', 'cache.deleted', (client) =>
      client.zmscore(deletedKey, ...docIds),
    );
    const deleted = docIds.filter((_, i) => deletedAt[i] !== null);
    return new Map(deleted.map((docId) => [docId, versions.filter((version) => version.docId === docId)]));
  }

  async *#walk(projectId: ProjectId): AsyncGenerator<string[], void, void> {
    const claim = this.keys.sweeping(projectId);
    for await (const batch of this.scan.batches(projectId, 'cache', { signal: this.#closing.signal })) {
      await this.gateway.call('cache', 'cache.sweep.claim', (client) => client.pexpire(claim, CLAIM_MS));
      const found = batch.filter((key) => this.keys.isInvalidated(projectId, key));
      if (found.length > 0) yield found;
    }
  }
}
