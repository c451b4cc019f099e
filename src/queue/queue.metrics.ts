import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { Parking } from './parking.js';

/** What happens to jobs, by queue; never by project. */
@Injectable()
export class QueueMetrics {
  readonly #events: Counter<'queue' | 'event'>;
  readonly #parked: Gauge;

  constructor(registry: MetricsRegistry, parking: Parking) {
    this.#events = new Counter({
      name: 'queue_jobs_total',
      help: 'Jobs by what happened to them: enqueued, leased, done, retried, dead, expired, stale, released, cancelled.',
      labelNames: ['queue', 'event'],
      registers: [registry.registry],
    });
    this.#parked = new Gauge({
      name: 'queue_parked_polls',
      help: 'Lease requests that wait for a job.',
      registers: [registry.registry],
      collect: () => this.#parked.set(parking.parked),
    });
  }

  count(queue: string, event: string, jobs = 1): void {
    if (jobs > 0) this.#events.inc({ queue, event }, jobs);
  }
}
