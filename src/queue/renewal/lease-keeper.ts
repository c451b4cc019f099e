import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Injectable, Logger } from '@nestjs/common';
import type { ProjectId } from '../../common/project-id.js';
import { monotonicMs } from '../../common/time.js';
import { AppConfig } from '../../config/app-config.js';
import { RedisClock } from '../../redis/redis-clock.js';
import type { LeasedJob } from '../queue.types.js';
import type { HeldLease, Loss, Order, Report } from './messages.js';

const RESTART_MS = 200;
const STOP_MS = 1000;

interface Kept {
  readonly lease: HeldLease;
  /** Of the monotonic clock: then it is not kept any longer. */
  readonly until: number;
  readonly lost: (why: Loss) => void;
}

/**
 * Keeps the leases of this process's consumers, in one thread with one Redis connection of its own, so that a handler may
 * block the event loop for longer than its lease. Without a consumer there is no thread.
 */
@Injectable()
export class LeaseKeeper {
  readonly #log = new Logger('LeaseKeeper');
  readonly #kept = new Map<number, Kept>();
  #thread: Worker | undefined;
  #stopping = false;
  #ids = 0;

  constructor(
    private readonly config: AppConfig,
    private readonly clock: RedisClock,
  ) {}

  /** @throws Error when the thread cannot start, or Redis refuses its connection. */
  async start(): Promise<void> {
    await (this.#thread ? undefined : this.#spawn());
  }

  /**
   * Keeps a lease from now on, whatever the event loop does.
   * @param maxHoldMs but no longer than this: a handler that hangs shall not hold its job for ever.
   * @param lost is called once when the lease is not kept any longer.
   * @returns what ends it; `undefined` when the lease is over already.
   */
  hold(
    projectId: ProjectId,
    queue: string,
    { jobId, leaseToken, expiresAt }: LeasedJob,
    { leaseMs, maxHoldMs }: { leaseMs: number; maxHoldMs: number },
    lost: (why: Loss) => void,
  ): (() => void) | undefined {
    if (expiresAt <= this.clock.now('state')) return undefined;
    const id = (this.#ids += 1);
    const lease: HeldLease = { id, projectId, queue, jobId, leaseToken, expiresAt, leaseMs, maxHoldMs };
    this.#kept.set(id, { lease, until: monotonicMs() + maxHoldMs, lost });
    this.#tell({ hold: lease });
    return () => {
      if (this.#kept.delete(id)) this.#tell({ drop: id });
    };
  }

  /** Keeps nothing any longer, and ends the thread with its connection. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const thread = this.#thread;
    if (!thread) return;
    const ended = new Promise((resolve) => thread.once('exit', resolve));
    this.#tell('stop');
    await Promise.race([ended, pause(STOP_MS, undefined, { ref: false })]);
    await thread.terminate();
  }

  #tell(order: Order): void {
    this.#thread?.postMessage(order);
  }

  #spawn(): Promise<void> {
    const thread = new Worker(new URL('./lease-thread.js', import.meta.url), {
      name: 'queue-leases',
      workerData: { ...this.config },
    });
    this.#thread = thread;
    thread.unref();
    return new Promise<void>((resolve, reject) => {
      thread.on('message', (report: Report) => {
        if (report === 'ready') resolve();
        else this.#lose(report.lost, report.why);
      });
      thread.on('error', (error) => {
        this.#log.error({ msg: 'the thread that keeps leases failed', err: error.stack });
        reject(error);
      });
      thread.once('exit', () => {
        reject(new Error('the thread that keeps leases ended'));
        void this.#again();
      });
    });
  }

  // A thread that ended by itself is replaced, and takes over what is held.
  async #again(): Promise<void> {
    this.#thread = undefined;
    await pause(RESTART_MS, undefined, { ref: false });
    if (this.#stopping) return;
    this.#spawn().catch(() => undefined);
    for (const { lease, until } of this.#kept.values())
      this.#tell({ hold: { ...lease, maxHoldMs: Math.max(until - monotonicMs(), 0) } });
  }

  #lose(id: number, why: Loss): void {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    kept?.lost(why);
  }
}
