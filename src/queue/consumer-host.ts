import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { ConsumerRunner } from './consumer-runner.js';
import { LeaseService } from './lease.service.js';
import { type ConsumerOptions, type JobHandler, QUEUE_CONSUMER } from './queue-consumer.decorator.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import { ReadyProjects } from './ready-projects.js';
import { LeaseKeeper } from './renewal/lease-keeper.js';

const GRACE_MS = 5000;

/** Finds the `@QueueConsumer`s of all modules and runs them. Without one it does nothing: the plain API leases for nobody. */
@Injectable()
export class ConsumerHost implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #runners: ConsumerRunner[] = [];

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly leasing: LeaseService,
    private readonly registry: QueueRegistry,
    private readonly projects: ReadyProjects,
    private readonly leases: LeaseKeeper,
    private readonly metrics: QueueMetrics,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    for (const { instance, metatype } of this.discovery.getProviders()) {
      const options =
        metatype &&
        (Reflect.getMetadata(QUEUE_CONSUMER, metatype) as (ConsumerOptions & { queue: string }) | undefined);
      if (!options || !instance) continue;
      this.registry.get(options.queue);
      await this.leases.start();
      const runner = new ConsumerRunner(
        options.queue,
        instance as JobHandler,
        this.leasing,
        this.leases,
        this.metrics,
        options,
      );
      this.#runners.push(runner);
      await this.projects.watch(options.queue, (projectId) => runner.ready(projectId));
    }
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.stop(GRACE_MS)));
    await this.leases.stop();
  }
}
