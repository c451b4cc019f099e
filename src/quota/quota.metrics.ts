import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import { MetricsRegistry } from '../common/metrics-registry.js';

/** What limits did to callers; never by project. */
@Injectable()
export class QuotaMetrics {
  readonly #refused: Counter<'kind'>;
  readonly #dry: Counter<'kind'>;
  readonly #degraded: Counter;

  constructor(registry: MetricsRegistry) {
    this.#refused = new Counter({
      name: 'quota_refusals_total',
      help: 'Calls that a limit refused: rate (a rate limit) or quota.',
      labelNames: ['kind'],
      registers: [registry.registry],
    });
    this.#dry = new Counter({
      name: 'quota_dry_refusals_total',
      help: 'Items that a dry rule would have refused: rate (a rate limit) or quota.',
      labelNames: ['kind'],
      registers: [registry.registry],
    });
    this.#degraded = new Counter({
      name: 'quota_degraded_total',
      help: 'Calls that passed their limits unchecked, because Redis gave no answer.',
      registers: [registry.registry],
    });
  }

  refused(kind: 'rate' | 'quota'): void {
    this.#refused.inc({ kind });
  }

  wouldRefuse(kind: 'rate' | 'quota'): void {
    this.#dry.inc({ kind });
  }

  degraded(): void {
    this.#degraded.inc();
  }
}
