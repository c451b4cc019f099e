import { Module } from '@nestjs/common';
import { LimitsRegistry } from './limits.registry.js';
import { QuotaController } from './quota.controller.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaMetrics } from './quota.metrics.js';
import { QuotaPurge } from './quota.purge.js';
import { QuotaScripts } from './quota.scripts.js';
import { QuotaService } from './quota.service.js';
import { RateLimitController } from './rate-limit.controller.js';
import { ReservationController } from './reservation.controller.js';
import { ReservationService } from './reservation.service.js';

/** Rate limits, quotas and reservations. */
@Module({
  controllers: [RateLimitController, QuotaController, ReservationController],
  providers: [LimitsRegistry, QuotaKeys, QuotaMetrics, QuotaPurge, QuotaScripts, QuotaService, ReservationService],
  exports: [LimitsRegistry, QuotaService, ReservationService],
})
export class QuotaModule {}
