import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import { Lru } from '../common/lru.js';
import { MetricsRegistry } from '../common/metrics-registry.js';
import type { ProjectId } from '../common/project-id.js';

/** How a read of a document ended. `invalid`: something is stored, but it is no such document; it counts as absent. */
export type ReadOutcome = 'hit' | 'miss' | 'invalid';

/**
 * How a load ended. `lost`: it was dropped, because of an invalidation, a delete or another writer; `full`: Redis had no room
 * for it; `direct`: Redis was away, nothing was stored; `stale`: a stale value was served instead of waiting for it.
 */
export type LoadOutcome = 'stored' | 'lost' | 'failed' | 'full' | 'direct' | 'stale';

/** Reads of one project's documents that this process has answered since it started, or since it forgot the project. */
export interface CacheStats {
  readonly hits: number;
  /** Invalid values included. */
  readonly misses: number;
}

const PROJECTS = 1000;

/** Counts what the cache does: for the process in Prometheus, and by project (the 1,000 read last) in memory. */
@Injectable()
export class CacheMetrics {
  readonly #reads: Record<ReadOutcome, Counter.Internal>;
  readonly #loads: Counter;
  readonly #swept: Counter;
  readonly #projects = new Lru<ProjectId, { hits: number; misses: number }>(PROJECTS);

  constructor(registry: MetricsRegistry) {
    const reads = new Counter({
      name: 'cache_document_reads_total',
      help: 'Reads of documents, versions and entries. invalid: something is stored that is no such value.',
      labelNames: ['outcome'],
      registers: [registry.registry],
    });
    this.#reads = { hit: reads.labels('hit'), miss: reads.labels('miss'), invalid: reads.labels('invalid') };
    this.#loads = new Counter({
      name: 'cache_loads_total',
      help: 'Loads through the cache. lost: dropped, since the entry changed meanwhile; direct: Redis was away.',
      labelNames: ['outcome'],
      registers: [registry.registry],
    });
    this.#swept = new Counter({
      name: 'cache_swept_keys_total',
      help: 'Keys removed in the background after invalidations and deletions.',
      registers: [registry.registry],
    });
  }

  read(projectId: ProjectId, outcome: ReadOutcome): void {
    this.#reads[outcome].inc();
    let counts = this.#projects.get(projectId);
    if (!counts) {
      counts = { hits: 0, misses: 0 };
      this.#projects.set(projectId, counts);
    }
    if (outcome === 'hit') counts.hits += 1;
    else counts.misses += 1;
  }

  load(outcome: LoadOutcome): void {
    this.#loads.inc({ outcome });
  }

  swept(keys: number): void {
    this.#swept.inc(keys);
  }

  stats(projectId: ProjectId): CacheStats {
    const { hits = 0, misses = 0 } = this.#projects.get(projectId) ?? {};
    return { hits, misses };
  }
}
