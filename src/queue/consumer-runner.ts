import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { CALL_TIMEOUT_MS } from '../redis/connection-options.js';
import type { ConsumerOptions, JobHandler } from './queue-consumer.decorator.js';
import { QueueService } from './queue.service.js';
import type { LeasedJob } from './queue.types.js';

/** Longest error text that goes into a job's record. */
const MAX_ERROR = 2000;
const ACK_AGAIN_MS = 200;

interface Running {
  readonly projectId: ProjectId;
  readonly job: LeasedJob;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/**
 * Runs one consumer: leases for the projects that are ready, in turn, as many jobs as it has free slots; keeps the leases
 * while the handler works; acks what returns, nacks what throws.
 */
export class ConsumerRunner {
  readonly #log = new Logger('QueueConsumer');
  /** Projects that may have work, each once, in the order in which they are served. */
  readonly #ring = new Set<ProjectId>();
  readonly #running = new Set<Running>();
  readonly #slots: number;
  readonly #leaseSeconds: number;
  #pumping = false;
  #pumped: Promise<void> | undefined;
  #stopping = false;

  constructor(
    private readonly queue: string,
    private readonly handler: JobHandler,
    private readonly queues: QueueService,
    { concurrency = 1, leaseSeconds = 60 }: ConsumerOptions,
  ) {
    this.#slots = concurrency;
    this.#leaseSeconds = leaseSeconds;
  }

  /** The project may have work. */
  ready(projectId: ProjectId): void {
    if (this.#stopping) return;
    this.#ring.add(projectId);
    this.#pump();
  }

  /** Stops leasing, lets handlers finish for `graceMs`, then gives the rest back untouched. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#ring.clear();
    // A lease that is on its way is given back before the connection closes.
    await this.#pumped;
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs);
    });
    await Promise.race([Promise.all([...this.#running].map(({ done }) => done)), grace]);
    clearTimeout(timer);
    await Promise.allSettled(
      [...this.#running].map(async ({ projectId, job, abort }) => {
        abort.abort(new Error('the process stops'));
        await this.queues.release(projectId, this.queue, { jobs: [job], nonce: 0 });
      }),
    );
  }

  // One loop at a time.
  #pump(): void {
    if (!this.#pumping) this.#pumped = this.#serve();
  }

  // A project that still had work goes to the end of the ring, so that no flood starves the others.
  async #serve(): Promise<void> {
    this.#pumping = true;
    for (const projectId of this.#ring) {
      if (this.#stopping || this.#running.size >= this.#slots) break;
      this.#ring.delete(projectId);
      const free = this.#slots - this.#running.size;
      const max = this.#ring.size > 0 ? 1 : Math.min(free, 10);
      try {
        const lease = await this.queues.lease(projectId, this.queue, { max, leaseSeconds: this.#leaseSeconds });
        if (this.#stopping) await this.queues.release(projectId, this.queue, lease);
        else for (const job of lease.jobs) this.#start(projectId, job);
        if (lease.jobs.length === max) this.#ring.add(projectId);
      } catch (error) {
        // A key of this project holds another kind of value, or Redis is away: the sweep calls again while there is work.
        this.#log.debug((error as Error).message);
      }
    }
    this.#pumping = false;
  }

  #start(projectId: ProjectId, job: LeasedJob): void {
    const abort = new AbortController();
    const running: Running = { projectId, job, abort, done: this.#run(projectId, job, abort) };
    this.#running.add(running);
    void running.done.finally(() => {
      this.#running.delete(running);
      this.#pump();
    });
  }

  async #run(projectId: ProjectId, job: LeasedJob, abort: AbortController): Promise<void> {
    const stopRenewing = this.#renew(projectId, job, abort);
    try {
      const result = await this.handler.handle(projectId, job, abort.signal);
      await this.#ack(projectId, job, result, abort.signal);
      stopRenewing();
    } catch (error) {
      stopRenewing();
      // A handler that was told to stop may throw for that: the job was given back, cancelled, or is somebody else's.
      if (abort.signal.aborted || isAppError(error, 'stale_lease')) return;
      await this.#fail(projectId, job, error);
    }
  }

  // The work is done: when Redis does not answer, the ack is repeated (which its token makes safe) while the lease lasts.
  async #ack(projectId: ProjectId, job: LeasedJob, result: unknown, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.queues.ack(projectId, this.queue, job.jobId, job.leaseToken, result);
      } catch (error) {
        if (signal.aborted || !isAppError(error, 'redis_unavailable')) throw error;
        await pause(ACK_AGAIN_MS);
      }
    }
  }

  async #fail(projectId: ProjectId, job: LeasedJob, error: unknown): Promise<void> {
    const message = (error instanceof Error ? error.message : String(error)).slice(0, MAX_ERROR);
    try {
      await this.queues.nack(projectId, this.queue, job.jobId, job.leaseToken, { error: message });
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

  // Renewed at a third of the lease; when Redis does not answer, the handler is stopped before the lease can be another's.
  #renew(projectId: ProjectId, job: LeasedJob, abort: AbortController): () => void {
    const leaseMs = this.#leaseSeconds * 1000;
    // Asked three times as often as needed, so that a cancellation arrives soon and one failure is not the end.
    const everyMs = Math.max(leaseMs / 9, 100);
    let deadline = monotonicMs() + leaseMs;
    const renew = async (): Promise<void> => {
      const sent = monotonicMs();
      try {
        const lease = await this.queues.extend(projectId, this.queue, job.jobId, job.leaseToken, this.#leaseSeconds);
        deadline = sent + leaseMs;
        if (lease.cancelled) abort.abort(new Error('the job was cancelled'));
      } catch (error) {
        const margin = everyMs + CALL_TIMEOUT_MS;
        if (isAppError(error, 'stale_lease') || monotonicMs() > deadline - margin)
          abort.abort(new Error('the lease was lost'));
      }
    };
    const timer = setInterval(() => void renew(), everyMs);
    const stop = (): void => clearInterval(timer);
    abort.signal.addEventListener('abort', stop, { once: true });
    return stop;
  }
}
