import type { Redis } from 'ioredis';
import { CacheService } from '../../src/cache/cache.service.js';
import { isAppError } from '../../src/common/app-error.js';
import { MetricsRegistry } from '../../src/common/metrics-registry.js';
import type { ProjectId } from '../../src/common/project-id.js';
import { RedisConnections } from '../../src/redis/redis-connections.js';
import { RedisTracking } from '../../src/redis/redis-tracking.js';
import { TestApp } from './app.js';
import { until } from './until.js';

/** An application that keeps values in the process, and has proven that it may. */
export async function startWithL1(options: Parameters<typeof TestApp.start>[0] = {}): Promise<TestApp> {
  const app = await TestApp.start({ ...options, env: { CACHE_L1: 'on', ...options.env } });
  await coherent(app);
  return app;
}

/** Waits until the application keeps values. */
export async function coherent(app: TestApp): Promise<void> {
  await until(() => app.get(RedisTracking).proven, 'the proof that every change is heard');
}

/** Waits until the application has heard of everything that Redis did so far, or has forgotten everything. */
export async function heardAll(app: TestApp): Promise<void> {
  await app
    .get(RedisTracking)
    .prove()
    .catch(() => coherent(app));
}

/** @returns how many hits the application has found in its own memory. */
export async function l1Hits(app: TestApp): Promise<number> {
  const hits = await app.get(MetricsRegistry).registry.getSingleMetric('cache_hits_total')!.get();
  return hits.values.find(({ labels }) => labels['level'] === 'l1')?.value ?? 0;
}

/** Keeps what Redis says on one of the pair from being heard. @returns what ends that. */
export function deafen(app: TestApp, which: 'reads' | 'invalidations'): () => void {
  const { stream } = app.get(RedisConnections).tracked![which] as Redis & { stream: NodeJS.ReadableStream };
  stream.pause();
  return () => void stream.resume();
}

/** @returns the version of a document that is shown, 0 for none, `undefined` while Redis is away. */
export async function shown(app: TestApp, projectId: ProjectId, id = 'a'): Promise<number | undefined> {
  try {
    return (await app.get(CacheService).get(projectId, id))?.document.version ?? 0;
  } catch (error) {
    if (isAppError(error, 'redis_unavailable')) return undefined;
    throw error;
  }
}

/** Another program's write of a document. */
export function write(app: TestApp, projectId: ProjectId, version: number, id = 'a'): Promise<unknown> {
  return app.cache.setex(`proj:${projectId}:doc:${id}`, 600, JSON.stringify({ id, title: 'A', content: '', version }));
}

/** Ends a connection of the application, as Redis names it. */
export async function kill(app: TestApp, name: string): Promise<void> {
  const line = String(await app.cache.client('LIST'))
    .split('\n')
    .find((candidate) => candidate.includes(`name=document-api:${name} `));
  await app.cache.client('KILL', 'ID', /^id=(\d+)/.exec(line ?? '')![1]!);
}
