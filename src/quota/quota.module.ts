import { Module } from '@nestjs/common';
import { LimitsRegistry } from './limits.registry.js';
import { PolicyMemory } from './policy.memory.js';
import { PolicyRunner } from './policy.runner.js';
import { PolicyStore } from './policy.store.js';
import { QuotaController } from './quota.controller.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaMetrics } from './quota.metrics.js';
import { QuotaPurge } from './quota.purge.js';
import { QuotaScripts } from './quota.scripts.js';
import { QuotaService } from './quota.service.js';
import { RateLimitController } from './rate-limit.controller.js';
import { RefusalMemory } from './refusal.memory.js';
import { ReservationController } from './reservation.controller.js';
import { ReservationScripts } from './reservation.scripts.js';
import { ReservationService } from './reservation.service.js';
import { UsageSeries } from './usage.series.js';

/** Rate limits, quotas and reservations. */
@Module({
  controllers: [RateLimitController, QuotaController, ReservationController],
  providers: [
    LimitsRegistry,
    PolicyMemory,
    PolicyRunner,
    PolicyStore,
    QuotaKeys,
    QuotaMetrics,
    QuotaPurge,
    QuotaScripts,
    QuotaService,
    RefusalMemory,
    ReservationScripts,
    ReservationService,
    UsageSeries,
  ],
  exports: [LimitsRegistry, QuotaService, ReservationService],
})
export class QuotaModule {}
