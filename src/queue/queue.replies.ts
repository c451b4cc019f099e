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

/** A deadline is text where it is a score. */
type JobReply = [
  id: string,
  attempt: number,
  raw: string,
  operation: string,
  deadline: number | string,
  created: number,
];
/** The short scripts say all in one list, which costs Redis less: six values for each job. */
export type LeasedReply = [due: number, weight: string, ...jobs: JobReply[number][]];
/** What a script says that dealt with everything. */
export type WholeReply = [
  report: Report,
  unreadable: number,
  nonce: number,
  token: string,
  due: number,
  weight: string,
  jobs: JobReply[],
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

/** What an ack or nack did: it ended this attempt; or nothing, being a repetition, or with a token that is not the lease's. */
export type Ending = { readonly state: JobState; readonly operationId?: string } | 'repeated' | 'stale';

/** An ack as the scripts take it. */
export interface Ack {
  readonly jobId: string;
  readonly token: string;
  readonly result: string;
}

/** What became of each ack, and the lease that came with them, unless all were stale. */
export interface AckedAndLeased {
  readonly endings: readonly Ending[];
  readonly lease?: LeaseReply;
}

/** The record of a job, and where it is. Numbers: -1 for what is not there; texts: ''. */
export interface JobRecord {
  readonly position: number;
  readonly due: number;
  readonly deadline: number;
  readonly state: JobState;
  readonly attempts: number;
  readonly max: number;
  readonly created: number;
  readonly finished: number;
  readonly error: string;
  readonly operationId: string;
  readonly result: string;
}

/** In the order of the record's fields; nothing when there is no such job. */
export type RecordReply =
  [number, string | number, string | number, string, number, number, number, number, string, string, string] | [];

/** States as the scripts write them, in one letter. */
const STATES: Readonly<Record<string, JobState>> = {
  w: 'waiting',
  d: 'delayed',
  l: 'leased',
  o: 'done',
  x: 'dead',
  c: 'cancelled',
  t: 'taken',
};

export function stateOf(letter: string): JobState {
  return STATES[letter]!;
}

const NOTHING_SETTLED: Settled = { expired: 0, buried: [] };

/** @param token of the lease; each job's is this and a letter. */
export function leaseReply(token: string, [due, weight, ...flat]: LeasedReply): LeaseReply {
  const jobs = Array.from({ length: flat.length / 6 }, (_, n) =>
    leasedJob(token + String.fromCharCode(97 + n), flat.slice(6 * n, 6 * n + 6) as JobReply),
  );
  return { jobs, ...whenAndHow(due, weight), settled: NOTHING_SETTLED, unreadable: 0, nonce: 0 };
}

export function wholeLeaseReply([report, unreadable, nonce, token, due, weight, jobs]: WholeReply): LeaseReply {
  return {
    jobs: jobs.map((job) => leasedJob(token, job)),
    ...whenAndHow(due, weight),
    settled: settled(report),
    unreadable,
    nonce,
  };
}

function leasedJob(leaseToken: string, [jobId, attempt, raw, operationId, deadline, createdAt]: JobReply) {
  const job = { jobId, attempt, raw, leaseToken, expiresAt: Number(deadline), createdAt };
  return operationId === '' ? job : { ...job, operationId };
}

function whenAndHow(due: number, weight: string) {
  return { nextDue: due < 0 ? undefined : due, weight: Number(weight) };
}

export function settled([expired, ...buried]: Report): Settled {
  return {
    expired,
    buried: pairs(buried).map(([jobId, operationId]) => ({ jobId, ...optional('operationId', operationId) })),
  };
}

export function jobRecord(values: Exclude<RecordReply, []>): JobRecord {
  const [position, due, deadline, state, attempts, max, created, finished, error, operationId, result] = values;
  return {
    position,
    due: Number(due),
    deadline: Number(deadline),
    state: stateOf(state),
    attempts,
    max,
    created,
    finished,
    error,
    operationId,
    result,
  };
}

/** @param word the letter of its state, `r` for a repetition, `s` for a stale token; behind it the operation. */
export function ending(word: string): Ending {
  const letter = word[0]!;
  if (letter === 's') return 'stale';
  if (letter === 'r') return 'repeated';
  const state = stateOf(letter);
  return word.length === 1 ? { state } : { state, operationId: word.slice(1) };
}

export function ackArgs(acks: readonly Ack[]): string[] {
  return acks.flatMap(({ jobId, token, result }) => [jobId, token, result]);
}

export function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

export function optional<K extends string>(name: K, value: string | undefined): { [N in K]?: string } {
  return (value ? { [name]: value } : {}) as { [N in K]?: string };
}
