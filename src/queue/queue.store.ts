import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { randomId, randomToken } from '../common/tokens.js';
import { AppConfig } from '../config/app-config.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { QueueKeys } from './queue.keys.js';
import {
  ackJobs,
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
import type { JobState, LeasedJob } from './queue.types.js';

/** At this many dead letters a queue of a project is parked, until a person looks. */
export const MAX_DEAD = 10_000;
export const DEFAULT_ATTEMPTS = 10;

/** A job as the enqueue script takes it. */
export interface RawJob {
  readonly raw: string;
  readonly maxAttempts: number;
  readonly delayMs: number;
  readonly dedupe: string;
  readonly operationId: string;
}

/** What a script found out on its way: leases that expired. */
export interface Settled {
  /** Jobs that went to their retry. */
  readonly expired: number;
  /** Jobs that are dead now. */
  readonly buried: readonly { readonly jobId: string; readonly operationId?: string }[];
}

export interface LeaseReply {
  readonly jobs: readonly (Omit<LeasedJob, 'task'> & { readonly raw: string })[];
  /** Unix ms (Redis) of the next moment at which something becomes due by itself. */
  readonly nextDue: number | undefined;
  readonly settled: Settled;
  /** Items of the list that became dead letters, since nobody can read them. */
  readonly unreadable: number;
  readonly nonce: number;
}

/** A job's record with its place; -1 for what does not apply. */
export interface JobRecord {
  readonly position: number;
  readonly due: number;
  readonly deadline: number;
  readonly fields: ReadonlyMap<string, string>;
}

export type Ending = { readonly state: JobState; readonly operationId?: string } | 'stale';

/** The queue's scripts, typed. */
@Injectable()
export class QueueStore {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: QueueKeys,
    private readonly config: AppConfig,
  ) {}

  /** @returns the jobs in their order, or `undefined` when the queue is full. `fresh` is false for one that was there. */
  async enqueue(
    projectId: ProjectId,
    queue: string,
    jobs: readonly RawJob[],
    idempotencyKey: string | undefined,
  ): Promise<{ jobId: string; state: JobState; fresh: boolean }[] | undefined> {
    const ids = jobs.map(randomId);
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
      state: state as JobState,
      fresh: jobId === ids[i],
    }));
  }

  async lease(
    projectId: ProjectId,
    queue: string,
    max: number,
    leaseMs: number,
    requestId?: string,
  ): Promise<LeaseReply> {
    const [report, due, unreadable, nonce, ...jobs] = (await this.runner.run(leaseJobs, {
      keys: {
        ...this.keys.places(projectId, queue),
        settings: this.keys.settings(projectId, queue),
        request: this.keys.request(projectId, queue, requestId),
      },
      args: {
        token: randomToken(),
        lease_ms: leaseMs,
        max_leased: this.config.QUEUE_MAX_LEASED,
        max_dead: MAX_DEAD,
        project_id: projectId,
        default_attempts: DEFAULT_ATTEMPTS,
        request: requestId === undefined ? '' : '1',
        ids: Array.from({ length: max }, randomId),
      },
    })) as [Report, string, number, number, ...[string, string, string, string, string, string][]];
    return {
      jobs: jobs.map(([jobId, attempt, raw, operationId, leaseToken, deadline]) => ({
        jobId,
        attempt: Number(attempt),
        raw,
        leaseToken,
        expiresAt: Number(deadline),
        ...optional('operationId', operationId),
      })),
      nextDue: Number(due) < 0 ? undefined : Number(due),
      settled: settled(report),
      unreadable,
      nonce,
    };
  }

  async ack(
    projectId: ProjectId,
    queue: string,
    acks: readonly { jobId: string; token: string; result: string }[],
  ): Promise<Ending[]> {
    const reply = await this.runner.run(ackJobs, {
      keys: this.keys.places(projectId, queue),
      args: { acks: acks.flatMap((ack) => [ack.jobId, ack.token, ack.result]) },
    });
    return (reply as string[][]).map(ending);
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
        error: nack.error,
        retry_ms: nack.retryMs ?? '',
        // Redis has no randomness that survives its restart, and none is needed there.
        jitter: 0.9 + Math.random() * 0.2,
        dead: nack.dead ? '1' : '',
      },
    });
    return ending(reply as string[]);
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
    })) as [string | number, number, string];
    if (Number(deadline) === 0) return undefined;
    return { expiresAt: Number(deadline), cancelled: cancelled === 1, ...optional('operationId', operationId) };
  }

  async cancel(
    projectId: ProjectId,
    queue: string,
    jobId: string,
  ): Promise<{ settled: Settled; state: JobState | 'missing'; operationId?: string }> {
    const [report, state, operationId] = (await this.runner.run(cancelJob, {
      keys: this.keys.places(projectId, queue),
      args: { id: jobId },
    })) as [Report, JobState | 'missing', string?];
    return { settled: settled(report), state, ...optional('operationId', operationId) };
  }

  /** @returns the record's fields with its place; no `record` when there is no such job. */
  async job(
    projectId: ProjectId,
    queue: string,
    jobId: string,
  ): Promise<{
    settled: Settled;
    record?: JobRecord;
  }> {
    const reply = (await this.runner.run(readJob, {
      keys: this.keys.places(projectId, queue),
      args: { id: jobId },
    })) as [Report, ...(string | number)[]];
    const [report, position, due, deadline, ...fields] = reply;
    if (position === undefined) return { settled: settled(report) };
    return {
      settled: settled(report),
      record: {
        position: Number(position),
        due: Number(due),
        deadline: Number(deadline),
        fields: new Map(pairs(fields as string[])),
      },
    };
  }

  async counts(projectId: ProjectId, queue: string) {
    const [report, ...figures] = (await this.runner.run(countJobs, {
      keys: { ...this.keys.places(projectId, queue), settings: this.keys.settings(projectId, queue) },
      args: {},
    })) as [Report, ...(string | number)[]];
    const [waiting, leased, delayed, dead, bytes, oldestMs, paused] = figures.map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { settled: settled(report), waiting, leased, delayed, dead, bytes, oldestMs, paused: paused === 1 };
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
    const rest = [...Object.values(places), this.keys.settings(projectId, queue)];
    await this.runner.run(purgeQueue, { keys: { purged, rest }, args: {} });
  }

  /** @returns how many were removed, at most 100. */
  async dropDead(projectId: ProjectId, queue: string, limit: number): Promise<number> {
    return (await this.runner.run(dropDead, { keys: this.keys.places(projectId, queue), args: { limit } })) as number;
  }
}

function ending([state, operationId]: string[]): Ending {
  return state === 'stale' ? 'stale' : { state: state as JobState, ...optional('operationId', operationId) };
}

// What settle() of the scripts reports: leases that expired, then id and operation of each job that is dead now.
type Report = [number, ...string[]];

function settled([expired, ...buried]: Report): Settled {
  return {
    expired,
    buried: pairs(buried).map(([jobId, operationId]) => ({ jobId, ...optional('operationId', operationId) })),
  };
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

function optional<K extends string>(name: K, value: string | undefined): { [N in K]?: string } {
  return (value ? { [name]: value } : {}) as { [N in K]?: string };
}
