import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { AppConfig } from '../config/app-config.js';
import { StatsRegistry } from '../monitoring/stats.registry.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { RedisClock } from '../redis/redis-clock.js';
import { JobEvents } from './job-events.js';
import { jobView } from './job-view.js';
import { Parking } from './parking.js';
import { QueueKeys } from './queue.keys.js';
import { toQueueDto } from './queue.mapping.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import type { LeaseReply, LeaseRequest } from './queue.replies.js';
import { MAX_DEAD } from './queue.shortcuts.js';
import { QueueStore } from './queue.store.js';
import type { JobState, JobView, Lease, LeasedJob, NewJob, QueueCounts } from './queue.types.js';
import { decodeTask, encodeJob, encodeResult } from './task-codec.js';

/** One call may not hold Redis for long. */
const MAX_BATCH_BYTES = 4_194_304;
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
    this.metrics.gaugeParked(() => this.parking.parked);
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

  /** Leases jobs, waiting for the first when asked to. No job is an empty list. */
  async lease(projectId: ProjectId, queue: string, options: LeaseOptions = {}): Promise<Lease> {
    const { order = 'relaxed' } = this.registry.get(queue);
    const { max = 1, leaseSeconds = 30, waitSeconds = 0, requestId, signal } = options;
    const look = async () => {
      const lease = await this.#look(projectId, queue, { max, leaseMs: leaseSeconds * 1000, order }, requestId);
      return { lease, found: lease.jobs.length > 0 ? lease : undefined, dueInMs: lease.dueInMs };
    };
    const first = await look();
    if (first.found || waitSeconds <= 0) return first.lease;
    return (await this.parking.wait(projectId, queue, waitSeconds * 1000, signal, look)) ?? first.lease;
  }

  /**
   * Ends a job as done. Repeating it with the same token has the same outcome.
   * @throws AppError `stale_lease` when the lease is not, or no longer, held; the job is then somebody else's.
   */
  async ack(projectId: ProjectId, queue: string, jobId: string, leaseToken: string, result?: unknown): Promise<void> {
    const [ending] = await this.#end(projectId, queue, [{ jobId, leaseToken, result }], () => 'result');
    if (ending === 'stale') throw stale('queue.ack');
  }

  /**
   * Ends a job as done and leases the next, in one round trip: a worker's whole cycle.
   * @returns the next job, if there is one.
   * @throws AppError `stale_lease`; then nothing is leased.
   */
  async ackAndLease(
    projectId: ProjectId,
    queue: string,
    done: { jobId: string; leaseToken: string; result?: unknown },
    { max = 1, leaseSeconds = 30 }: Pick<LeaseOptions, 'max' | 'leaseSeconds'> = {},
  ): Promise<Lease> {
    const { order = 'relaxed' } = this.registry.get(queue);
    const ack = { jobId: done.jobId, token: done.leaseToken, result: encodeResult(done.result, 'result') };
    const asked = { max, leaseMs: leaseSeconds * 1000, order };
    const { ending, lease: reply } = await this.store.ackAndLease(projectId, queue, ack, asked);
    this.events.ended(projectId, queue, done.jobId, ending);
    if (!reply) throw stale('queue.ack');
    const { lease, unworkable } = await this.#leased(projectId, queue, reply);
    return unworkable > 0 && lease.jobs.length === 0 ? this.#look(projectId, queue, asked) : lease;
  }

  /** Ends up to 100 jobs. @returns for each whether its lease was held. */
  async ackBatch(
    projectId: ProjectId,
    queue: string,
    acks: readonly { jobId: string; leaseToken: string; result?: unknown }[],
  ): Promise<('done' | 'stale')[]> {
    return this.#end(projectId, queue, acks, (i) => `acks.${i}.result`);
  }

  async #end(
    projectId: ProjectId,
    queue: string,
    acks: readonly { jobId: string; leaseToken: string; result?: unknown }[],
    field: (index: number) => string,
  ): Promise<('done' | 'stale')[]> {
    this.registry.get(queue);
    const endings = await this.store.ack(
      projectId,
      queue,
      acks.map((ack, i) => ({
        jobId: ack.jobId,
        token: ack.leaseToken,
        result: encodeResult(ack.result, field(i)),
      })),
    );
    endings.forEach((ending, i) => this.events.ended(projectId, queue, acks[i]!.jobId, ending));
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
    this.events.ended(projectId, queue, jobId, ending, error);
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
      this.events.report(projectId, queue, jobId, lease.operationId, { ...progress, status: 'running' });
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

  // What nobody can work on must not keep what stands behind it waiting.
  async #look(projectId: ProjectId, queue: string, asked: LeaseRequest, requestId?: string): Promise<Lease> {
    for (let away = 0; ;) {
      const reply = await this.store.lease(projectId, queue, asked, requestId);
      const { lease, unworkable } = await this.#leased(projectId, queue, reply, requestId);
      away += unworkable;
      if (unworkable === 0 || lease.jobs.length > 0 || away >= MAX_UNWORKABLE) return lease;
    }
  }

  // What nobody can work on goes to the dead letters: a worker only sees tasks that its queue declared.
  async #leased(
    projectId: ProjectId,
    queue: string,
    reply: LeaseReply,
    requestId?: string,
  ): Promise<{ lease: Lease; unworkable: number }> {
    this.events.settled(projectId, queue, reply.settled);
    this.metrics.count(queue, 'dead', reply.unreadable);
    const { task: type } = this.registry.get(queue);
    const jobs: LeasedJob[] = [];
    for (const { raw, createdAt, ...job } of reply.jobs) {
      if (job.attempt === 1) this.metrics.waited(queue, this.clock.now('state') - createdAt);
      const found = decodeTask(projectId, type, raw);
      if ('task' in found) jobs.push({ ...job, task: found.task });
      else await this.nack(projectId, queue, job.jobId, job.leaseToken, { error: found.wrong, dead: true });
    }
    this.metrics.count(queue, 'leased', jobs.length);
    for (const job of jobs) {
      this.events.report(projectId, queue, job.jobId, job.operationId, {
        status: job.attempt === 1 ? 'started' : 'running',
        stage: 'leased',
        attempt: job.attempt,
      });
    }
    const lease: Lease = {
      jobs,
      nonce: reply.nonce,
      weight: reply.weight,
      ...(requestId === undefined ? {} : { requestId }),
      ...(reply.nextDue === undefined ? {} : { dueInMs: reply.nextDue - this.clock.now('state') }),
    };
    return { lease, unworkable: reply.unreadable + reply.jobs.length - jobs.length };
  }
}

function stale(op: string): AppError {
  return new AppError('stale_lease', op, 'The lease is not, or no longer, held with this token.');
}

function notFound(): AppError {
  return new AppError('not_found', 'queue.job', 'There is no such job.');
}
