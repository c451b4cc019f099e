import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { StatsRegistry } from '../monitoring/stats.registry.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { RedisClock } from '../redis/redis-clock.js';
import { encodeJob, encodeResult, jobView, readTask } from './job-codec.js';
import { JobEvents } from './job-events.js';
import { Parking } from './parking.js';
import { QueueKeys } from './queue.keys.js';
import { toQueueDto } from './queue.mapping.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import { type Ending, MAX_DEAD, QueueStore, type Settled } from './queue.store.js';
import type { JobState, JobView, Lease, LeasedJob, NewJob, QueueCounts } from './queue.types.js';

const RETRY_WHEN_FULL_SECONDS = 5;
/** Items that nobody can work on, in a row: so many are put away before a lease gives up for now. */
const MAX_UNWORKABLE = 100;

export interface LeaseOptions {
  /** 1–10. Default 1. */
  readonly max?: number;
  /** 1–3,600. Default 30. */
  readonly leaseSeconds?: number;
  /** How long to wait for a job, 0–25. Default 0. */
  readonly waitSeconds?: number;
  /** Repeating a request that got no answer gets the same jobs. */
  readonly requestId?: string;
  /** Ends the wait when the client goes away. */
  readonly signal?: AbortSignal;
}

/** Queues of one project: plain lists outside, at-least-once with fenced leases inside. */
@Injectable()
export class QueueService implements OnModuleInit {
  constructor(
    private readonly store: QueueStore,
    private readonly keys: QueueKeys,
    private readonly registry: QueueRegistry,
    private readonly parking: Parking,
    private readonly events: JobEvents,
    private readonly metrics: QueueMetrics,
    private readonly clock: RedisClock,
    private readonly purge: PurgeRegistry,
    private readonly stats: StatsRegistry,
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
    await Promise.all(
      added.map(({ jobId, state, fresh }, i) =>
        this.events.report(projectId, queue, jobId, fresh ? jobs[i]!.operationId : undefined, {
          status: 'running',
          stage: state,
        }),
      ),
    );
    return added;
  }

  /** Leases jobs, waiting for the first when asked to. No job is an empty list. */
  async lease(projectId: ProjectId, queue: string, options: LeaseOptions = {}): Promise<Lease> {
    this.registry.get(queue);
    const { max = 1, leaseSeconds = 30, waitSeconds = 0, requestId, signal } = options;
    const look = async (): Promise<{ found: Lease | undefined; dueInMs: number | undefined }> => {
      let { lease, nextDue, unworkable } = await this.#leaseNow(projectId, queue, max, leaseSeconds, requestId);
      // What nobody can work on must not keep what stands behind it waiting.
      for (
        let away = unworkable;
        unworkable > 0 && lease.jobs.length === 0 && away < MAX_UNWORKABLE;
        away += unworkable
      )
        ({ lease, nextDue, unworkable } = await this.#leaseNow(projectId, queue, max, leaseSeconds, requestId));
      const dueInMs = nextDue === undefined ? undefined : nextDue - this.clock.now('state');
      return { found: lease.jobs.length > 0 ? lease : undefined, dueInMs };
    };
    const first = await look();
    const none: Lease = { jobs: [], nonce: 0 };
    if (first.found || waitSeconds <= 0) return first.found ?? none;
    return (await this.parking.wait(`${projectId}:${queue}`, waitSeconds * 1000, signal, look)) ?? none;
  }

  /**
   * Ends a job as done. Repeating it with the same token has the same outcome.
   * @throws AppError `stale_lease` when the lease is not, or no longer, held; the job is then somebody else's.
   */
  async ack(projectId: ProjectId, queue: string, jobId: string, leaseToken: string, result?: unknown): Promise<void> {
    const [ending] = await this.ackBatch(projectId, queue, [{ jobId, leaseToken, result }]);
    if (ending === 'stale') throw stale('queue.ack');
  }

  /** Ends up to 100 jobs. @returns for each whether its lease was held. */
  async ackBatch(
    projectId: ProjectId,
    queue: string,
    acks: readonly { jobId: string; leaseToken: string; result?: unknown }[],
  ): Promise<('done' | 'stale')[]> {
    this.registry.get(queue);
    const endings = await this.store.ack(
      projectId,
      queue,
      acks.map((ack, i) => ({
        jobId: ack.jobId,
        token: ack.leaseToken,
        result: encodeResult(ack.result, acks.length > 1 ? `acks.${i}.result` : 'result'),
      })),
    );
    await Promise.all(endings.map((ending, i) => this.#ended(projectId, queue, acks[i]!.jobId, ending)));
    return endings.map((ending) => (ending === 'stale' ? 'stale' : 'done'));
  }

  /**
   * Gives a job back as failed: it is retried later, or dead when its attempts are used up.
   * @param options.retryInSeconds instead of the exponential backoff (1 s doubled each time, at most 5 minutes, ± 10 %).
   * @throws AppError `stale_lease`
   */
  async nack(
    projectId: ProjectId,
    queue: string,
    jobId: string,
    leaseToken: string,
    options: { error: string; retryInSeconds?: number | undefined; dead?: boolean | undefined },
  ): Promise<void> {
    this.registry.get(queue);
    const { error, retryInSeconds, dead = false } = options;
    const retryMs = retryInSeconds === undefined ? undefined : retryInSeconds * 1000;
    const ending = await this.store.nack(projectId, queue, { jobId, token: leaseToken, error, retryMs, dead });
    await this.#ended(projectId, queue, jobId, ending, error);
    if (ending === 'stale') throw stale('queue.nack');
  }

  /**
   * Prolongs a lease to `leaseSeconds` from now.
   * @returns when it ends, and whether the job was cancelled: then stop, and ack or let it go.
   * @throws AppError `stale_lease`
   */
  async extend(
    projectId: ProjectId,
    queue: string,
    jobId: string,
    leaseToken: string,
    leaseSeconds: number,
    progress?: Readonly<Record<string, unknown>>,
  ): Promise<{ expiresAt: number; cancelled: boolean }> {
    this.registry.get(queue);
    const lease = await this.store.extend(projectId, queue, jobId, leaseToken, leaseSeconds * 1000);
    if (!lease) {
      this.metrics.count(queue, 'stale');
      throw stale('queue.extend');
    }
    if (progress && !lease.cancelled) {
      await this.events.report(projectId, queue, jobId, lease.operationId, { ...progress, status: 'running' });
    }
    return { expiresAt: lease.expiresAt, cancelled: lease.cancelled };
  }

  /** Gives jobs back untouched: to the head, the attempt not counted. For answers that nobody received, and shutdown. */
  async release(projectId: ProjectId, queue: string, lease: Lease): Promise<void> {
    if (lease.jobs.length === 0) return;
    this.metrics.count(queue, 'released', await this.store.release(projectId, queue, lease.jobs, lease));
  }

  /**
   * Cancels a job; a running worker learns it at its next extend.
   * @throws AppError `not_found`, or `conflict` when the job is over.
   */
  async cancel(projectId: ProjectId, queue: string, jobId: string): Promise<void> {
    this.registry.get(queue);
    const { settled, state, operationId } = await this.store.cancel(projectId, queue, jobId);
    await this.#settled(projectId, queue, settled);
    if (state === 'missing') throw notFound();
    if (state !== 'cancelled') throw new AppError('conflict', 'queue.cancel', `The job is over: it is ${state}.`);
    this.metrics.count(queue, 'cancelled');
    await this.events.report(projectId, queue, jobId, operationId, { status: 'cancelled' });
  }

  /** @throws AppError `not_found`; a finished job is known for an hour. */
  async job(projectId: ProjectId, queue: string, jobId: string): Promise<JobView> {
    this.registry.get(queue);
    const { settled, record } = await this.store.job(projectId, queue, jobId);
    await this.#settled(projectId, queue, settled);
    if (!record) throw notFound();
    return jobView(jobId, record);
  }

  async counts(projectId: ProjectId, queue: string): Promise<QueueCounts> {
    this.registry.get(queue);
    const { settled, oldestMs, paused, ...counts } = await this.store.counts(projectId, queue);
    await this.#settled(projectId, queue, settled);
    const reason = paused ? 'owner' : counts.dead >= MAX_DEAD ? 'dead_letters_full' : undefined;
    return {
      queue,
      ...counts,
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

  async #leaseNow(
    projectId: ProjectId,
    queue: string,
    max: number,
    leaseSeconds: number,
    requestId: string | undefined,
  ) {
    const reply = await this.store.lease(projectId, queue, max, leaseSeconds * 1000, requestId);
    await this.#settled(projectId, queue, reply.settled);
    this.metrics.count(queue, 'dead', reply.unreadable);
    const jobs: LeasedJob[] = [];
    for (const { raw, ...job } of reply.jobs) {
      const { task, error } = readTask(this.registry.get(queue).task, raw);
      if (task === undefined) {
        await this.nack(projectId, queue, job.jobId, job.leaseToken, { error, dead: true });
      } else {
        jobs.push({ ...job, task });
      }
    }
    this.metrics.count(queue, 'leased', jobs.length);
    await Promise.all(
      jobs.map((job) =>
        this.events.report(projectId, queue, job.jobId, job.operationId, {
          status: job.attempt === 1 ? 'started' : 'running',
          stage: 'leased',
          attempt: job.attempt,
        }),
      ),
    );
    const lease: Lease = { jobs, nonce: reply.nonce, ...(requestId === undefined ? {} : { requestId }) };
    return { lease, nextDue: reply.nextDue, unworkable: reply.unreadable + reply.jobs.length - jobs.length };
  }

  // Whoever comes first finds out that a lease has expired, and tells it.
  async #settled(projectId: ProjectId, queue: string, { expired, buried }: Settled): Promise<void> {
    this.metrics.count(queue, 'expired', expired);
    await Promise.all(
      buried.map(({ jobId, operationId }) =>
        this.#ended(
          projectId,
          queue,
          jobId,
          { state: 'dead', ...(operationId ? { operationId } : {}) },
          'lease expired',
        ),
      ),
    );
  }

  async #ended(projectId: ProjectId, queue: string, jobId: string, ending: Ending, error?: string): Promise<void> {
    if (ending === 'stale') return this.metrics.count(queue, 'stale');
    const { state, operationId } = ending;
    if (state === 'done') {
      this.metrics.count(queue, 'done');
      await this.events.report(projectId, queue, jobId, operationId, { status: 'completed', stage: 'done' });
    } else if (state === 'dead') {
      this.metrics.count(queue, 'dead');
      await this.events.report(projectId, queue, jobId, operationId, {
        status: 'failed',
        stage: 'dead',
        ...(error ? { error } : {}),
      });
    } else if (state !== 'cancelled') {
      this.metrics.count(queue, 'retried');
      await this.events.report(projectId, queue, jobId, operationId, {
        status: 'running',
        stage: 'retrying',
        ...(error ? { message: error } : {}),
      });
    }
  }
}

function stale(op: string): AppError {
  return new AppError('stale_lease', op, 'The lease is not, or no longer, held with this token.');
}

function notFound(): AppError {
  return new AppError('not_found', 'queue.job', 'There is no such job.');
}
