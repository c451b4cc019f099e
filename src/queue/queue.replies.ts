import type { JobState, LeasedJob, QueueOrder } from './queue.types.js';

/** A job as the enqueue script takes it. */
export interface RawJob {
  readonly raw: string;
  readonly maxAttempts: number;
  readonly delayMs: number;
  readonly dedupe: string;
  readonly operationId: string;
}

export interface LeaseRequest {
  readonly max: number;
  readonly leaseMs: number;
  /** The queue's own order; the owner's setting goes before it. */
  readonly order: QueueOrder;
}

// What settle() of the scripts reports: leases that expired, then id and operation of each job that is dead now.
export type Report = [expired: number, ...buried: string[]];

/** What a script found out on its way: leases that expired. */
export interface Settled {
  /** Jobs that went to their retry. */
  readonly expired: number;
  /** Jobs that are dead now. */
  readonly buried: readonly { readonly jobId: string; readonly operationId?: string }[];
}

export type LeaseHead = [report: Report, due: string, unreadable: number, weight: string];
export type LeaseLine = [
  id: string,
  attempt: string,
  raw: string,
  operation: string,
  token: string,
  deadline: string,
  created: string,
];

export interface LeaseReply {
  readonly jobs: readonly (Omit<LeasedJob, 'task'> & { readonly raw: string; readonly createdAt: number })[];
  /** Unix ms (Redis) of the next moment at which something becomes due by itself. */
  readonly nextDue: number | undefined;
  readonly settled: Settled;
  /** Items of the list that became dead letters, since nobody can read them. */
  readonly unreadable: number;
  readonly nonce: number;
  /** The project's share among those that wait for the same consumers; the owner's setting, else 1. */
  readonly weight: number;
}

export type Ending = { readonly state: JobState; readonly operationId?: string } | 'stale';

/** The record of a job, and where it is; -1: not there. */
export interface JobRecord {
  readonly position: number;
  readonly due: number;
  readonly deadline: number;
  readonly fields: ReadonlyMap<string, string>;
}

export function leaseReply([report, due, unreadable, weight]: LeaseHead, jobs: LeaseLine[]): Omit<LeaseReply, 'nonce'> {
  return {
    jobs: jobs.map(([jobId, attempt, raw, operationId, leaseToken, deadline, created]) => ({
      jobId,
      attempt: Number(attempt),
      raw,
      leaseToken,
      expiresAt: Number(deadline),
      createdAt: Number(created),
      ...optional('operationId', operationId),
    })),
    nextDue: Number(due) < 0 ? undefined : Number(due),
    settled: settled(report),
    unreadable,
    weight: Number(weight),
  };
}

export function settled([expired, ...buried]: Report): Settled {
  return {
    expired,
    buried: pairs(buried).map(([jobId, operationId]) => ({ jobId, ...optional('operationId', operationId) })),
  };
}

export function ending([state, operationId]: string[]): Ending {
  return state === 'stale' ? 'stale' : { state: state as JobState, ...optional('operationId', operationId) };
}

export function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

export function optional<K extends string>(name: K, value: string | undefined): { [N in K]?: string } {
  return (value ? { [name]: value } : {}) as { [N in K]?: string };
}
