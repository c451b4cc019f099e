import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { ProgressModule } from '../progress/progress.module.js';
import { BacklogGauge } from './backlog-gauge.js';
import { ConsumerHost } from './consumer-host.js';
import { EmbeddingsTaskDto } from './dto/task.dto.js';
import { JobEvents } from './job-events.js';
import { LeaseController } from './lease.controller.js';
import { LeaseService } from './lease.service.js';
import { Parking } from './parking.js';
import { QueueAdminController } from './queue-admin.controller.js';
import { QueueAdminService } from './queue-admin.service.js';
import { QueueController } from './queue.controller.js';
import { QueueKeys } from './queue.keys.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import { QueueService } from './queue.service.js';
import { QueueStore } from './queue.store.js';
import { ReadyProjects } from './ready-projects.js';
import { LeaseKeeper } from './renewal/lease-keeper.js';
import { WorkSweep } from './work-sweep.js';

/** Job queues. Modules declare queues of their own in {@link QueueRegistry}, and work on them with `@QueueConsumer`. */
@Module({
  imports: [DiscoveryModule, ProgressModule],
  controllers: [QueueController, LeaseController, QueueAdminController],
  providers: [
    QueueKeys,
    QueueStore,
    {
      provide: QueueRegistry,
      useFactory: () => {
        const registry = new QueueRegistry();
        registry.declare({ name: 'embeddings', task: EmbeddingsTaskDto });
        return registry;
      },
    },
    WorkSweep,
    Parking,
    JobEvents,
    QueueMetrics,
    QueueService,
    LeaseService,
    QueueAdminService,
    ReadyProjects,
    BacklogGauge,
    LeaseKeeper,
    ConsumerHost,
  ],
  exports: [QueueService, LeaseService, QueueRegistry],
})
export class QueueModule {}
