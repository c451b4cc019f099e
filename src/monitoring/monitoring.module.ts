import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { collectDefaultMetrics } from 'prom-client';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { HealthController } from './health.controller.js';
import { KeySweep } from './key-sweep.js';
import { MetricsController } from './metrics.controller.js';
import { Readiness } from './readiness.js';
import { StatsController } from './stats.controller.js';
import { StatsRegistry } from './stats.registry.js';

/** How often the event loop's delay is sampled. Each sample wakes an idle process, and a tenth of this costs it 0.4 % of a core. */
const LOOP_SAMPLE_MS = 100;

/** Health, metrics and the figures of a project; global, because each feature may add a section to the figures. */
@Global()
@Module({
  controllers: [HealthController, MetricsController, StatsController],
  providers: [Readiness, KeySweep, StatsRegistry],
  exports: [StatsRegistry],
})
export class MonitoringModule implements OnModuleInit {
  constructor(private readonly metrics: MetricsRegistry) {}

  onModuleInit(): void {
    collectDefaultMetrics({ register: this.metrics.registry, eventLoopMonitoringPrecision: LOOP_SAMPLE_MS });
  }
}
