import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { RedisClock } from '../redis/redis-clock.js';
import { JobEvents } from './job-events.js';
import { Parking } from './parking.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import type { Ending, LeaseReply, LeaseRequest } from './queue.replies.js';
import { QueueStore } from './queue.store.js';
import type { AckOutcome, DoneJob, Lease, LeasedJob } from './queue.types.js';
import { decodeTask, encodeResult } from './task-codec.js';

/** Items that nobody can work on, in a row: so many are put away before a lease gives up for now. */
const MAX_UNWORKABLE = 100;
const NO_JOBS: Lease = { jobs: [], nonce: 0, weight: 1 };

export interface LeaseOptions {
  /** 1–10. Default 1. */
  readonly max?: number;
  /** 1–3,600. Default 30. */
  readonly leaseSeconds?: number;
  /** How long to wait for a job, 0–25. Default 0. */
  readonly waitSeconds?: number;
  /** Repeating a request that got no answer gets the same jobs. */
  readonly requestId?: string | undefined;
  /** Ends the wait when the client goes away. */
  readonly signal?: AbortSignal;
}

/** What workers do: they lease jobs, at least once and fenced by a token, and end, prolong or return them. */
@Injectable()
export class LeaseService implements OnModuleInit {
  constructor(
    private readonly store: QueueStore,
    private readonly registry: QueueRegistry,
    private readonly parking: Parking,
    private readonly events: JobEvents,
    private readonly metrics: QueueMetrics,
    private readonly clock: RedisClock,
  ) {}

  onModuleInit(): void {
    this.metrics.gaugeParked(() => this.parking.parked);
  }

  /** Leases jobs, waiting for the first when asked to. No job is an empty list. */
  async lease(projectId: ProjectId, queue: string, options: LeaseOptions = {}): Promise<Lease> {
    return this.#lease(projectId, queue, options, this.#asked(queue, options));
  }

  /**
   * Ends a job as done. Repeating it with the same token has the same outcome.
   * @throws AppError `stale_lease` when the lease is not, or no longer, held; the job is then somebody else's.
   */
  async ack(projectId: ProjectId, queue: string, jobId: string, leaseToken: string, result?: unknown): Promise<void> {
    const [outcome] = await this.#ack(projectId, queue, [{ jobId, leaseToken, result }], () => 'result');
    if (outcome === 'stale') throw stale('queue.ack');
  }

  /** Ends up to 100 jobs as done, each by itself. @returns for each whether its lease was held. */
  async ackBatch(projectId: ProjectId, queue: string, done: readonly DoneJob[]): Promise<AckOutcome[]> {
    return this.#ack(projectId, queue, done, inBatch);
  }

  /**
   * Ends a job as done and leases the next, in one round trip: a worker's whole cycle.
   * @returns the next job, if there is one.
   * @throws AppError `stale_lease`; then nothing is leased.
   */
  async ackAndLease(
    projectId: ProjectId,
    queue: string,
    done: DoneJob,
    options: Pick<LeaseOptions, 'max' | 'leaseSeconds'> = {},
  ): Promise<Lease> {
    const { outcomes, lease } = await this.#ackAndLease(projectId, queue, [done], options, () => 'result');
    if (outcomes[0] === 'stale') throw stale('queue.ack');
    return lease;
  }

  /**
   * Ends up to 100 jobs as done, each by itself, and leases the next, in one round trip: the whole cycle of a worker that
   * takes its jobs in batches. Repeated with the same `requestId`, it gets the same jobs.
   * @returns for each ack whether its lease was held; the lease is empty when none was.
   */
  async ackBatchAndLease(
    projectId: ProjectId,
    queue: string,
    done: readonly DoneJob[],
    options: LeaseOptions = {},
  ): Promise<{ outcomes: AckOutcome[]; lease: Lease }> {
    return this.#ackAndLease(projectId, queue, done, options, inBatch);
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

  #asked(queue: string, { max = 1, leaseSeconds = 30 }: LeaseOptions): LeaseRequest {
    const { order = 'relaxed' } = this.registry.get(queue);
    return { max, leaseMs: leaseSeconds * 1000, order };
  }

  async #ack(
    projectId: ProjectId,
    queue: string,
    done: readonly DoneJob[],
    field: (index: number) => string,
  ): Promise<AckOutcome[]> {
    this.registry.get(queue);
    return this.#ended(projectId, queue, done, await this.store.ack(projectId, queue, toAcks(done, field)));
  }

  async #ackAndLease(
    projectId: ProjectId,
    queue: string,
    done: readonly DoneJob[],
    options: LeaseOptions,
    field: (index: number) => string,
  ): Promise<{ outcomes: AckOutcome[]; lease: Lease }> {
    const asked = this.#asked(queue, options);
    const acks = toAcks(done, field);
    const { endings, lease: found } = await this.store.ackAndLease(projectId, queue, acks, asked, options.requestId);
    const outcomes = this.#ended(projectId, queue, done, endings);
    return { outcomes, lease: found ? await this.#lease(projectId, queue, options, asked, found) : NO_JOBS };
  }

  #ended(projectId: ProjectId, queue: string, done: readonly DoneJob[], endings: readonly Ending[]): AckOutcome[] {
    return endings.map((ending, i) => {
      this.events.ended(projectId, queue, done[i]!.jobId, ending);
      return ending === 'stale' ? 'stale' : 'done';
    });
  }

  /** @param found what an ack has brought along. */
  async #lease(
    projectId: ProjectId,
    queue: string,
    { waitSeconds = 0, requestId, signal }: LeaseOptions,
    asked: LeaseRequest,
    found?: LeaseReply,
  ): Promise<Lease> {
    const first = await this.#look(projectId, queue, asked, requestId, found);
    if (first.jobs.length > 0 || waitSeconds <= 0) return first;
    const waited = await this.parking.wait(projectId, queue, waitSeconds * 1000, signal, async () => {
      const lease = await this.#look(projectId, queue, asked, requestId);
      return { found: lease.jobs.length > 0 ? lease : undefined, dueInMs: lease.dueInMs };
    });
    return waited ?? first;
  }

  // What nobody can work on must not keep what stands behind it waiting.
  async #look(
    projectId: ProjectId,
    queue: string,
    asked: LeaseRequest,
    requestId?: string,
    found?: LeaseReply,
  ): Promise<Lease> {
    let reply = found ?? (await this.store.lease(projectId, queue, asked, requestId));
    for (let away = 0; ;) {
      const { lease, unworkable } = await this.#leased(projectId, queue, reply, requestId);
      away += unworkable;
      if (unworkable === 0 || lease.jobs.length > 0 || away >= MAX_UNWORKABLE) return lease;
      reply = await this.store.lease(projectId, queue, asked, requestId);
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

const inBatch = (index: number): string => `acks.${index}.result`;

function toAcks(done: readonly DoneJob[], field: (index: number) => string) {
  return done.map(({ jobId, leaseToken, result }, i) => ({
    jobId,
    token: leaseToken,
    result: encodeResult(result, field(i)),
  }));
}

function stale(op: string): AppError {
  return new AppError('stale_lease', op, 'The lease is not, or no longer, held with this token.');
}
