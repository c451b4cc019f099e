import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Module } from '@nestjs/common';
import { IsOptional, IsString } from 'class-validator';
import type { ProjectId } from '../../src/common/project-id.js';
import { type JobHandler, QueueConsumer } from '../../src/queue/queue-consumer.decorator.js';
import { QueueModule } from '../../src/queue/queue.module.js';
import { QueueRegistry } from '../../src/queue/queue.registry.js';
import type { LeasedJob } from '../../src/queue/queue.types.js';

/** A task of a queue that only a test knows. */
export class AnyTask {
  @IsOptional()
  @IsString()
  note?: string;
}

type Handle = JobHandler['handle'];

/** A module as a team would add it, with a queue of its own, so that no other test's jobs reach it. */
export function consumerModule(
  options: { concurrency?: number; leaseSeconds?: number },
  handle: Handle,
): { queue: string; module: new () => object } {
  const queue = `test-${randomUUID()}`;

  @Injectable()
  @QueueConsumer(queue, options)
  class Consumer implements JobHandler {
    constructor(@Inject(QueueRegistry) registry: QueueRegistry) {
      registry.declare({ name: queue, task: AnyTask });
    }
    handle(projectId: ProjectId, job: LeasedJob, signal: AbortSignal): Promise<unknown> {
      return handle(projectId, job, signal);
    }
  }

  @Module({ imports: [QueueModule], providers: [Consumer] })
  class ConsumerModule {}
  return { queue, module: ConsumerModule };
}
