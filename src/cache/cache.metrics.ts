import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
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

/** Where a hit was found: in the process, or in Redis. */
export type Level = 'l1' | 'redis';

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
  readonly #hits: Record<Level, Counter.Internal>;
  readonly #loads: Counter;
  readonly #swept: Counter;
  readonly #watched = new Map<string, { readonly bytes: number }>();
  readonly #projects = new Lru<ProjectId, { hits: number; misses: number }>(PROJECTS);

  constructor(registry: MetricsRegistry) {
    const reads = new Counter({
      name: 'cache_document_reads_total',
      help: 'Reads of documents, versions and entries. invalid: something is stored that is no such value.',
      labelNames: ['outcome'],
      registers: [registry.registry],
    });
    this.#reads = { hit: reads.labels('hit'), miss: reads.labels('miss'), invalid: reads.labels('invalid') };
    const hits = new Counter({
      name: 'cache_hits_total',
      help: 'Hits by level: l1 is the memory of the process.',
      labelNames: ['level'],
      registers: [registry.registry],
    });
    this.#hits = { l1: hits.labels('l1'), redis: hits.labels('redis') };
    const bytes: Gauge = new Gauge({
      name: 'cache_l1_bytes',
      help: 'What the values kept in the process take, about.',
      labelNames: ['of'],
      registers: [registry.registry],
      collect: () => {
        for (const [of, memory] of this.#watched) bytes.set({ of }, memory.bytes);
      },
    });
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

  /** Shows how much the memory holds. @returns it. */
  watch<M extends { readonly bytes: number }>(of: string, memory: M): M {
    this.#watched.set(of, memory);
    return memory;
  }

  read(projectId: ProjectId, outcome: ReadOutcome, level: Level = 'redis'): void {
    this.#reads[outcome].inc();
    if (outcome === 'hit') this.#hits[level].inc();
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
