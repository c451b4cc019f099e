import type { Redis } from 'ioredis';
import { MetricsRegistry } from '../../src/common/metrics-registry.js';
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
