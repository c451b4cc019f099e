import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import type { RedisRole } from './connection-options.js';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { Timings } from '../common/timings.js';

/** Latency and failures of Redis calls, by role and operation; never by project. */
@Injectable()
export class RedisMetrics {
  readonly #timings: Timings<'role' | 'op'>;
  readonly #failures: Counter<'role' | 'op' | 'code'>;

  constructor(registry: MetricsRegistry) {
    this.#timings = new Timings({
      name: 'redis_call_duration_seconds',
      help: 'Time from sending a Redis call to its answer, by role and operation.',
      labelNames: ['role', 'op'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25],
      registry: registry.registry,
    });
    this.#failures = new Counter({
      name: 'redis_call_failures_total',
      help: 'Redis calls that failed, by role, operation and error code.',
      labelNames: ['role', 'op', 'code'],
      registers: [registry.registry],
    });
  }

  observe(role: RedisRole, op: string, ms: number, outcome: string): void {
    this.#timings.observe(ms, role, op);
    if (outcome !== 'ok') this.#failures.inc({ role, op, code: outcome });
  }
}
