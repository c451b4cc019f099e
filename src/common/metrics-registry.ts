import { Global, Injectable, Module } from '@nestjs/common';
import { Registry } from 'prom-client';

/** The Prometheus registry of the process; features register their own metrics in it. No label may name a project. */
@Injectable()
export class MetricsRegistry {
  readonly registry = new Registry();
}

@Global()
@Module({ providers: [MetricsRegistry], exports: [MetricsRegistry] })
export class MetricsRegistryModule {}
