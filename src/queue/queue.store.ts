import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { randomId, randomToken } from '../common/tokens.js';
import { AppConfig } from '../config/app-config.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { QueueKeys } from './queue.keys.js';
import {
  cancelJob,
  countJobs,
  dropDead,
  enqueueJobs,
  extendLease,
  leaseJobs,
  listDead,
  nackJob,
  purgeQueue,
  readJob,
  redriveDead,
  releaseJobs,
} from './queue.scripts.js';
import {
  type Ack,
  type AckedAndLeased,
  type Ending,
  ending,
  ackArgs,
  type JobRecord,
  jobRecord,
  type LeaseReply,
  type LeaseRequest,
  optional,
  pairs,
  type RawJob,
  type RecordReply,
  type Report,
  settled,
  type Settled,
  stateOf,
  wholeLeaseReply,
  type WholeReply,
} from './queue.replies.js';
import { QueueShortcuts } from './queue.shortcuts.js';
import type { JobState, QueueOrder } from './queue.types.js';

export const DEFAULT_ATTEMPTS = 10;

/** A record's head is read without its body, so it is bounded. */
const MAX_ERROR = 2000;

/** The queue's scripts, typed. */
@Injectable()
export class QueueStore {
  readonly #short: QueueShortcuts;

  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: QueueKeys,
    private readonly config: AppConfig,
  ) {
    this.#short = new QueueShortcuts(runner, config);
  }

  /** @returns the jobs in their order, or `undefined` when the queue is full. `fresh` is false for one that was there. */
  async enqueue(
    projectId: ProjectId,
    queue: string,
    jobs: readonly RawJob[],
    idempotencyKey: string | undefined,
  ): Promise<{ jobId: string; state: JobState; fresh: boolean }[] | undefined> {
    const ids = jobs.map(randomId);
    if (idempotencyKey === undefined) {
      const room = await this.#short.enqueue(this.keys.places(projectId, queue), jobs, ids);
      if (room !== undefined) return room ? ids.map((jobId) => ({ jobId, state: 'waiting', fresh: true })) : undefined;
    }
    const { key, fingerprint } = this.keys.idempotency(projectId, idempotencyKey, { queue, jobs });
    const reply = (await this.runner.run(enqueueJobs, {
      keys: { ...this.keys.places(projectId, queue), idempotency: key },
      args: {
        fingerprint,
        max_jobs: this.config.QUEUE_MAX_JOBS,
        max_bytes: this.config.QUEUE_MAX_BYTES,
        jobs: jobs.flatMap((job, i) => [ids[i]!, job.raw, job.maxAttempts, job.delayMs, job.dedupe, job.operationId]),
      },
    })) as string[];
    if (reply[0] !== 'ok') return undefined;
    return pairs(reply.slice(1)).map(([jobId, state], i) => ({
      jobId,
      state: stateOf(state),
      fresh: jobId === ids[i],
    }));
  }

  async lease(projectId: ProjectId, queue: string, asked: LeaseRequest, requestId?: string): Promise<LeaseReply> {
    const places = this.keys.places(projectId, queue);
    const quick = requestId === undefined ? await this.#short.lease(places, asked) : undefined;
    if (quick) return quick;
    return (await this.#ackAndLease(projectId, queue, [], asked, requestId)).lease!;
  }

  /** Ends jobs and leases more, in one script. @returns no `lease` when all tokens are stale. */
  async ackAndLease(
    projectId: ProjectId,
    queue: string,
    acks: readonly Ack[],
    asked: LeaseRequest,
    requestId?: string,
  ): Promise<AckedAndLeased> {
    const places = this.keys.places(projectId, queue);
    const quick = requestId === undefined ? await this.#short.ackAndLease(places, asked, acks) : undefined;
    return quick ?? this.#ackAndLease(projectId, queue, acks, asked, requestId);
  }

  // Whatever the state of the queue.
  async #ackAndLease(
    projectId: ProjectId,
    queue: string,
    acks: readonly Ack[],
    asked: LeaseRequest,
    requestId: string | undefined,
  ): Promise<AckedAndLeased> {
    const [words, ...whole] = (await this.runner.run(leaseJobs, {
      keys: { ...this.keys.places(projectId, queue), request: this.keys.request(projectId, queue, requestId) },
      args: {
        ...this.#short.bounds(asked, randomToken()),
        project_id: projectId,
        default_attempts: DEFAULT_ATTEMPTS,
        order: asked.order,
        request: requestId === undefined ? '' : '1',
        wanted: asked.max,
        id: randomId(),
        acks: ackArgs(acks),
      },
    })) as [string[], ...(WholeReply | [])];
    const endings = words.map(ending);
    return whole.length === 0 ? { endings } : { endings, lease: wholeLeaseReply(whole) };
  }

  async ack(projectId: ProjectId, queue: string, acks: readonly Ack[]): Promise<Ending[]> {
    const places = this.keys.places(projectId, queue);
    return acks.length === 1 ? [await this.#short.ackOne(places, acks[0]!)] : this.#short.ack(places, acks);
  }

  async nack(
    projectId: ProjectId,
    queue: string,
    nack: { jobId: string; token: string; error: string; retryMs: number | undefined; dead: boolean },
  ): Promise<Ending> {
    const reply = await this.runner.run(nackJob, {
      keys: this.keys.places(projectId, queue),
      args: {
        id: nack.jobId,
        token: nack.token,
        error: nack.error.slice(0, MAX_ERROR),
        retry_ms: nack.retryMs ?? '',
        // Redis has no randomness that survives its restart, and none is needed there.
        jitter: 0.9 + Math.random() * 0.2,
        dead: nack.dead ? '1' : '',
      },
    });
    return ending(reply as string);
  }

  /** @returns how many were given back. */
  async release(
    projectId: ProjectId,
    queue: string,
    jobs: readonly { jobId: string; leaseToken: string }[],
    { requestId, nonce = 0 }: { requestId?: string | undefined; nonce?: number } = {},
  ): Promise<number> {
    const reply = await this.runner.run(releaseJobs, {
      keys: { ...this.keys.places(projectId, queue), request: this.keys.request(projectId, queue, requestId) },
      args: { nonce, jobs: jobs.flatMap((job) => [job.jobId, job.leaseToken]) },
    });
    return reply as number;
  }

  /** @returns `undefined` when the token is stale. */
  async extend(
    projectId: ProjectId,
    queue: string,
    jobId: string,
    token: string,
    leaseMs: number,
  ): Promise<{ expiresAt: number; cancelled: boolean; operationId?: string } | undefined> {
    const [deadline, cancelled, operationId] = (await this.runner.run(extendLease, {
      keys: this.keys.places(projectId, queue),
      args: { id: jobId, token, lease_ms: leaseMs },
    })) as [number, number, string];
    if (deadline === 0) return undefined;
    return { expiresAt: deadline, cancelled: cancelled === 1, ...optional('operationId', operationId) };
  }

  async cancel(
    projectId: ProjectId,
    queue: string,
    jobId: string,
  ): Promise<{ settled: Settled; state: JobState | 'missing'; operationId?: string }> {
    const [report, state, operationId] = (await this.runner.run(cancelJob, {
      keys: this.keys.places(projectId, queue),
      args: { id: jobId },
    })) as [Report, string, string?];
    return {
      settled: settled(report),
      state: state === 'missing' ? state : stateOf(state),
      ...optional('operationId', operationId),
    };
  }

  /** @returns the record's fields with its place; no `record` when there is no such job. */
  async job(projectId: ProjectId, queue: string, jobId: string): Promise<{ settled: Settled; record?: JobRecord }> {
    const [report, ...values] = (await this.runner.run(readJob, {
      keys: this.keys.places(projectId, queue),
      args: { id: jobId },
    })) as [Report, ...RecordReply];
    return { settled: settled(report), ...(values.length === 0 ? {} : { record: jobRecord(values) }) };
  }

  async counts(projectId: ProjectId, queue: string) {
    const [report, waiting, leased, delayed, dead, bytes, oldestMs, paused, order, weight] = (await this.runner.run(
      countJobs,
      {
        keys: this.keys.places(projectId, queue),
        args: {},
      },
    )) as [Report, number, number, number, number, string, number, number, QueueOrder | '', string];
    return {
      settled: settled(report),
      waiting,
      leased,
      delayed,
      dead,
      bytes: Number(bytes),
      oldestMs,
      paused: paused === 1,
      order: order === '' ? undefined : order,
      weight: Number(weight),
    };
  }

  async dead(projectId: ProjectId, queue: string, after: string, limit: number) {
    const reply = (await this.runner.run(listDead, {
      keys: this.keys.places(projectId, queue),
      args: { after, limit },
    })) as string[][];
    return reply.map(([jobId, moment, attempts, error, raw]) => ({
      jobId: jobId!,
      moment: moment!,
      attempts: Number(attempts),
      error: error!,
      raw: raw!,
    }));
  }

  /** @returns how many were put back, at most 100. */
  async redrive(projectId: ProjectId, queue: string, limit: number): Promise<number> {
    return (await this.runner.run(redriveDead, {
      keys: this.keys.places(projectId, queue),
      args: { limit },
    })) as number;
  }

  /** Ends the queue at once; {@link QueueKeys.places} `purged` hides its records until they are swept. */
  async purge(projectId: ProjectId, queue: string): Promise<void> {
    const { purged, wake: _, ...places } = this.keys.places(projectId, queue);
    const rest = Object.values(places);
    await this.runner.run(purgeQueue, { keys: { purged, rest }, args: {} });
  }

  /** @returns how many were removed, at most 100. */
  async dropDead(projectId: ProjectId, queue: string, limit: number): Promise<number> {
    return (await this.runner.run(dropDead, { keys: this.keys.places(projectId, queue), args: { limit } })) as number;
  }
}
