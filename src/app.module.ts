import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AuthModule } from './auth/auth.module.js';
import { CacheModule } from './cache/cache.module.js';
import { Closing } from './common/http/closing.js';
import { ProblemFilter } from './common/http/problem.filter.js';
import { MetricsRegistryModule } from './common/metrics-registry.js';
import { createValidationPipe } from './common/validation.js';
import type { AppConfig } from './config/app-config.js';
import { ConfigModule } from './config/config.module.js';
import { LockModule } from './lock/lock.module.js';
import { MonitoringModule } from './monitoring/monitoring.module.js';
import { ProgressModule } from './progress/progress.module.js';
import { ProjectContextModule } from './project-context/project-context.module.js';
import { ProjectGuard } from './project-context/project.guard.js';
import { PurgeModule } from './purge/purge.module.js';
import { QueueModule } from './queue/queue.module.js';
import { QuotaModule } from './quota/quota.module.js';
import { RateLimitGuard } from './quota/rate-limit.guard.js';
import { RedisModule } from './redis/redis.module.js';
import { SessionModule } from './session/session.module.js';

/** The features: one line each. A team's module joins here or through {@link AppModule.with}. */
const FEATURES = [
  PurgeModule,
  CacheModule,
  QuotaModule,
  ProgressModule,
  QueueModule,
  SessionModule,
  LockModule,
  MonitoringModule,
];

/** The whole application. */
@Module({})
export class AppModule {
  /** @param extensions modules that a team adds, of the same shape as the features. */
  static with(
    config: AppConfig,
    extensions: readonly NonNullable<DynamicModule['imports']>[number][] = [],
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.with(config),
        MetricsRegistryModule,
        RedisModule.with(config),
        AuthModule,
        ProjectContextModule,
        ...FEATURES,
        ...extensions,
      ],
      providers: [
        Closing,
        // Global guards run in this order: first who and where, then how often.
        { provide: APP_GUARD, useClass: ProjectGuard },
        { provide: APP_GUARD, useClass: RateLimitGuard },
        { provide: APP_PIPE, useFactory: createValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
