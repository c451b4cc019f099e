import { MetricsRegistry } from '../../src/common/metrics-registry.js';
import type { TestApp } from './app.js';

/** @returns how many Redis calls the application has made so far, by operation. */
export async function redisCalls(app: TestApp): Promise<Record<string, number>> {
  const metric = await app.get(MetricsRegistry).registry.getSingleMetric('redis_call_duration_seconds')!.get();
  const calls: Record<string, number> = {};
  for (const { labels, value, ...rest } of metric.values) {
    if (!(rest as { metricName?: string }).metricName?.endsWith('_count')) continue;
    const op = String(labels['op']);
    calls[op] = (calls[op] ?? 0) + value;
  }
  return calls;
}
