import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { AppConfig } from '../config/app-config.js';
import { StatsRegistry } from '../monitoring/stats.registry.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { JobEvents } from './job-events.js';
import { jobView } from './job-view.js';
import { QueueKeys } from './queue.keys.js';
import { toQueueDto } from './queue.mapping.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import { MAX_DEAD } from './queue.shortcuts.js';
import { QueueStore } from './queue.store.js';
import type { JobState, JobView, NewJob, QueueCounts } from './queue.types.js';
import { encodeJob } from './task-codec.js';

/** One call may not hold Redis for long. */
const MAX_BATCH_BYTES = 4_194_304;
const RETRY_WHEN_FULL_SECONDS = 5;

/** What those who have work for others do: they add jobs, cancel them, and see what became of them. */
@Injectable()
export class QueueService implements OnModuleInit {
  constructor(
    private readonly store: QueueStore,
    private readonly keys: QueueKeys,
    private readonly registry: QueueRegistry,
    private readonly events: JobEvents,
    private readonly metrics: QueueMetrics,
    private readonly purge: PurgeRegistry,
    private readonly stats: StatsRegistry,
    private readonly config: AppConfig,
  ) {}

  onModuleInit(): void {
    this.purge.register(
      'queue',
      async (projectId) => {
        await Promise.all(this.registry.names.map((queue) => this.store.purge(projectId, queue)));
      },
      (projectId) => this.registry.names.map((queue) => this.keys.places(projectId, queue).purged),
    );
    this.stats.register('queues', async (projectId) => (await this.list(projectId)).map(toQueueDto));
  }

  /**
   * Adds jobs, all or none.
   * @param options.path where a client wrote the task of a job, for the names of the fields that break their rules.
   * @throws AppError `not_found`, `validation_failed` naming the field of the task, `queue_full`, `conflict` (idempotency key).
   */
  async enqueue(
    projectId: ProjectId,
    queue: string,
    jobs: readonly NewJob[],
    {
      idempotencyKey,
      path = (i) => `jobs.${i}.task`,
    }: { idempotencyKey?: string | undefined; path?: (index: number) => string } = {},
  ): Promise<{ jobId: string; state: JobState }[]> {
    const declaration = this.registry.get(queue);
    const raw = jobs.map((job, i) => encodeJob(projectId, declaration.task, job, path(i)));
    if (raw.length > 1 && raw.reduce((sum, job) => sum + Buffer.byteLength(job.raw), 0) > MAX_BATCH_BYTES)
      throw new AppError('payload_too_large', 'queue.enqueue', 'The tasks of one call may hold at most 4 MiB.');
    const added = await this.store.enqueue(projectId, queue, raw, idempotencyKey);
    if (!added) {
      throw new AppError('queue_full', 'queue.enqueue', 'The queue holds as many jobs or bytes as it may.', {
        rule: queue,
        retryAfterSeconds: RETRY_WHEN_FULL_SECONDS,
      });
    }
    this.metrics.count(queue, 'enqueued', added.filter(({ fresh }) => fresh).length);
    // Not `started`: a quick worker may be done before this is heard, and `started` would open its operation again.
    // A job that was there before goes on to report as the operation that it was added with.
    added.forEach(({ jobId, state, fresh }, i) => {
      if (fresh) this.events.report(projectId, queue, jobId, jobs[i]!.operationId, { status: 'running', stage: state });
    });
    return added;
  }

  /**
   * Cancels a job; a running worker learns it at its next extend.
   * @throws AppError `not_found`, or `conflict` when the job is over.
   */
  async cancel(projectId: ProjectId, queue: string, jobId: string): Promise<void> {
    this.registry.get(queue);
    const { settled, state, operationId } = await this.store.cancel(projectId, queue, jobId);
    this.events.settled(projectId, queue, settled);
    if (state === 'missing') throw notFound();
    if (state !== 'cancelled') throw new AppError('conflict', 'queue.cancel', `The job is over: it is ${state}.`);
    this.metrics.count(queue, 'cancelled');
    this.events.report(projectId, queue, jobId, operationId, { status: 'cancelled' });
  }

  /** A job, and why it does not run. @throws AppError `not_found`; a finished job is known for an hour. */
  async job(projectId: ProjectId, queue: string, jobId: string): Promise<JobView> {
    this.registry.get(queue);
    const [{ settled, record }, counts] = await Promise.all([
      this.store.job(projectId, queue, jobId),
      this.counts(projectId, queue),
    ]);
    this.events.settled(projectId, queue, settled);
    if (!record) throw notFound();
    return jobView(jobId, record, counts, this.config.QUEUE_MAX_LEASED);
  }

  async counts(projectId: ProjectId, queue: string): Promise<QueueCounts> {
    const declared = this.registry.get(queue);
    const { settled, oldestMs, paused, order, ...counts } = await this.store.counts(projectId, queue);
    this.events.settled(projectId, queue, settled);
    const reason = paused ? 'owner' : counts.dead >= MAX_DEAD ? 'dead_letters_full' : undefined;
    return {
      queue,
      ...counts,
      order: order ?? declared.order ?? 'relaxed',
      paused: reason !== undefined,
      ...(reason ? { pausedReason: reason } : {}),
      oldestAgeSeconds: oldestMs < 0 ? null : Math.floor(oldestMs / 1000),
    };
  }

  /** The counts of every queue there is, by name. */
  async list(projectId: ProjectId): Promise<QueueCounts[]> {
    return (await this.page(projectId, Infinity)).items;
  }

  /** The counts of at most `limit` queues, by name, from the one after `after` on. */
  async page(projectId: ProjectId, limit: number, after = ''): Promise<{ items: QueueCounts[]; next?: string }> {
    const names = this.registry.names.filter((name) => name > after);
    const items = await Promise.all(names.slice(0, limit).map((queue) => this.counts(projectId, queue)));
    return names.length > limit ? { items, next: names[limit - 1]! } : { items };
  }
}

function notFound(): AppError {
  return new AppError('not_found', 'queue.job', 'There is no such job.');
}
