import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import type { ConsumerOptions, JobHandler } from './queue-consumer.decorator.js';
import { FairRing } from './fair-ring.js';
import type { LeaseService } from './lease.service.js';
import type { QueueMetrics } from './queue.metrics.js';
import type { Lease, LeasedJob } from './queue.types.js';
import type { LeaseKeeper } from './renewal/lease-keeper.js';
import type { Loss } from './renewal/messages.js';

/** Most jobs that one lease brings. */
const MAX_BATCH = 10;
const MAX_TIMER_MS = 60_000;
/** Longest error text that goes into a job's record. */
const MAX_ERROR = 2000;
const ACK_AGAIN_MS = 200;

const LOSSES: Record<Loss, string> = {
  cancelled: 'the job was cancelled',
  stale: 'the lease was lost',
  unreachable: 'the lease was lost: Redis did not answer',
  too_long: 'the job was held for longer than it may be',
};

interface Running {
  readonly projectId: ProjectId;
  readonly job: LeasedJob;
  readonly abort: AbortController;
  /** Ends the renewal of the lease. */
  readonly drop: () => void;
  done: Promise<void>;
}

/**
 * Runs one consumer: leases for the projects that are ready, by their share of its time, as many jobs as it has free
 * slots; keeps the leases while the handler works; acks what returns, nacks what throws.
 */
export class ConsumerRunner {
  readonly #log = new Logger('QueueConsumer');
  /** Projects that may have work. */
  readonly #ring = new FairRing<ProjectId>();
  /** Those that were said to be ready, or had jobs, while Redis was being asked: an empty answer may be older than that. */
  readonly #heard = new Set<ProjectId>();
  readonly #due = new Map<ProjectId, NodeJS.Timeout>();
  readonly #running = new Set<Running>();
  readonly #slots: number;
  readonly #leaseSeconds: number;
  readonly #hold: { leaseMs: number; maxHoldMs: number };
  /** Leases on their way, at most one for each project, and the slots that they may fill. */
  readonly #asking = new Map<ProjectId, Promise<void>>();
  #reserved = 0;
  #stopping = false;

  constructor(
    private readonly queue: string,
    private readonly handler: JobHandler,
    private readonly leasing: LeaseService,
    private readonly leases: LeaseKeeper,
    private readonly metrics: QueueMetrics,
    { concurrency = 1, leaseSeconds = 60, maxHoldSeconds = 3600 }: ConsumerOptions,
  ) {
    this.#slots = concurrency;
    this.#leaseSeconds = leaseSeconds;
    this.#hold = { leaseMs: leaseSeconds * 1000, maxHoldMs: maxHoldSeconds * 1000 };
  }

  /** The project may have work. */
  ready(projectId: ProjectId): void {
    if (this.#stopping) return;
    this.#heard.add(projectId);
    this.#ring.add(projectId);
    this.#pump();
  }

  /** Stops leasing, lets handlers finish for `graceMs`, then gives the rest back untouched. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#ring.clear();
    for (const timer of this.#due.values()) clearTimeout(timer);
    // A lease that is on its way is given back before the connection closes.
    await Promise.all(this.#asking.values());
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs);
    });
    await Promise.race([Promise.all([...this.#running].map(({ done }) => done)), grace]);
    clearTimeout(timer);
    await Promise.allSettled(
      [...this.#running].map(async ({ projectId, job, abort, drop }) => {
        drop();
        abort.abort(new Error('the process stops'));
        await this.leasing.release(projectId, this.queue, { jobs: [job], nonce: 0, weight: 1 });
      }),
    );
  }

  // Asks for those whose turn it is, while there are slots; nobody waits for the answer to another. While several projects
  // are ready they get one job each turn, or a batch would run ahead of its credit.
  #pump(): void {
    while (!this.#stopping) {
      const free = this.#slots - this.#running.size - this.#reserved;
      if (free <= 0) return;
      const projectId = this.#ring.next(this.#asking);
      if (projectId === undefined) return;
      const max = this.#ring.size > 1 ? 1 : Math.min(free, MAX_BATCH);
      const asked = this.#ask(projectId, max).finally(() => {
        this.#asking.delete(projectId);
        this.#pump();
      });
      this.#asking.set(projectId, asked);
    }
  }

  async #ask(projectId: ProjectId, max: number): Promise<void> {
    const answered = this.#ring.hold(projectId);
    this.#reserved += max;
    try {
      await this.#take(
        projectId,
        () => this.leasing.lease(projectId, this.queue, { max, leaseSeconds: this.#leaseSeconds }),
        () => {
          answered();
          this.#reserved -= max;
        },
      );
    } catch (error) {
      // A key of this project holds another kind of value, or Redis is away: the sweep calls again while there is work.
      this.#ring.leave(projectId);
      this.#log.debug((error as Error).message);
    }
  }

  // Starts what a lease brings; who has nothing to give leaves the ring.
  // `answered` comes before anything else can see a slot that is neither reserved nor used.
  async #take(projectId: ProjectId, lease: () => Promise<Lease>, answered?: () => void): Promise<void> {
    this.#heard.delete(projectId);
    let found: Lease;
    try {
      found = await lease();
    } finally {
      answered?.();
    }
    if (this.#stopping) return this.leasing.release(projectId, this.queue, found);
    this.#ring.setWeight(projectId, found.weight);
    if (found.jobs.length > 0) this.#heard.add(projectId);
    if (this.#heard.has(projectId)) this.#ring.add(projectId);
    else this.#ring.leave(projectId);
    if (found.dueInMs !== undefined) this.#lookAgain(projectId, found.dueInMs);
    // All are kept before the first is worked on, which may block the event loop at once.
    for (const running of found.jobs.map((job) => this.#keep(projectId, job))) if (running) this.#start(running);
  }

  // The answer may have lain unread, while a handler blocked the event loop, until its leases were over: those come again.
  #keep(projectId: ProjectId, job: LeasedJob): Running | undefined {
    const abort = new AbortController();
    const drop = this.leases.hold(projectId, this.queue, job, this.#hold, (why) => {
      if (why === 'stale') this.metrics.count(this.queue, 'stale');
      abort.abort(new Error(LOSSES[why]));
    });
    return drop && { projectId, job, abort, drop, done: Promise.resolve() };
  }

  // Delayed jobs, retries and leases that expire send no wake-up. One timer per project, for the next of them.
  #lookAgain(projectId: ProjectId, dueInMs: number): void {
    clearTimeout(this.#due.get(projectId));
    const timer = setTimeout(
      () => {
        this.#due.delete(projectId);
        this.ready(projectId);
      },
      Math.min(Math.max(dueInMs, 0) + 1, MAX_TIMER_MS),
    );
    this.#due.set(projectId, timer.unref());
  }

  #start(running: Running): void {
    const started = monotonicMs();
    const charge = this.#ring.charge(running.projectId);
    this.#running.add(running);
    running.done = this.#run(running).finally(() => {
      charge(monotonicMs() - started);
      this.metrics.ran(this.queue, monotonicMs() - started);
      this.#running.delete(running);
      this.#pump();
    });
  }

  async #run({ projectId, job, abort, drop }: Running): Promise<void> {
    try {
      const result = await this.handler.handle(projectId, job, abort.signal);
      await this.#ack(projectId, job, result, abort.signal);
      drop();
    } catch (error) {
      drop();
      // A handler that was told to stop may throw for that: the job was given back, cancelled, or is somebody else's.
      if (abort.signal.aborted || isAppError(error, 'stale_lease')) return;
      await this.#fail(projectId, job, error);
    }
  }

  // The work is done: when Redis does not answer, the ack is repeated (which its token makes safe) while the lease lasts.
  async #ack(projectId: ProjectId, job: LeasedJob, result: unknown, signal: AbortSignal): Promise<void> {
    const { jobId, leaseToken } = job;
    for (let send = () => this.#done(projectId, job, result); ;) {
      try {
        return await send();
      } catch (error) {
        if (signal.aborted || !isAppError(error, 'redis_unavailable')) throw error;
        send = () => this.leasing.ack(projectId, this.queue, jobId, leaseToken, result);
        await pause(ACK_AGAIN_MS);
      }
    }
  }

  // Where it is the project's turn again, the ack brings its next job along, for the slot that this one leaves.
  async #done(projectId: ProjectId, job: LeasedJob, result: unknown): Promise<void> {
    const { jobId, leaseToken } = job;
    if (this.#stopping || this.#ring.next() !== projectId)
      return this.leasing.ack(projectId, this.queue, jobId, leaseToken, result);
    const options = { leaseSeconds: this.#leaseSeconds };
    await this.#take(projectId, () =>
      this.leasing.ackAndLease(projectId, this.queue, { jobId, leaseToken, result }, options),
    );
  }

  async #fail(projectId: ProjectId, job: LeasedJob, error: unknown): Promise<void> {
    const message = (error instanceof Error ? error.message : String(error)).slice(0, MAX_ERROR);
    try {
      await this.leasing.nack(projectId, this.queue, job.jobId, job.leaseToken, { error: message });
    } catch (failure) {
      // The lease will expire, and the job comes back.
      this.#log.warn({
        msg: 'a failed job was not given back',
        queue: this.queue,
        project_id: projectId,
        reason: (failure as Error).message,
      });
    }
  }
}
