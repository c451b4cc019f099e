import { expect } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { QueueKeys } from '../../src/queue/queue.keys.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { stateOf } from '../../src/queue/queue.replies.js';
import type { JobState } from '../../src/queue/queue.types.js';
import type { TestApp } from '../support/app.js';

/** What the reference model believes of one job. */
export interface ModelJob {
  raw: string;
  state: JobState;
  /** Set while it waits as a retry: before the list, by this. */
  retry: boolean;
  attempts: number;
  max: number;
  /** Age among all jobs: retries are served by it. */
  order: number;
  dedupe: string | undefined;
  token: string | undefined;
}

/** The reference: what a queue of one project is, in the simplest words. Equal bytes are interchangeable. */
export class QueueModel {
  /** The list that other programs see, head first. */
  readonly list: string[] = [];
  readonly jobs = new Map<string, ModelJob>();
  /** Tokens that are no longer anybody's. */
  readonly stale: { jobId: string; token: string }[] = [];
  /** What tokens were used for, in this order. */
  readonly settled: { jobId: string; token: string; how: 'ack' | 'nack' }[] = [];
  /** How many items others popped: no more jobs than that may be `taken`. */
  popped = 0;
  #clock = 0;

  tick(): number {
    return ++this.#clock;
  }

  of(state: JobState): [string, ModelJob][] {
    return [...this.jobs].filter(([, job]) => job.state === state);
  }

  /** Retries that are served before the list, oldest first. */
  retries(): [string, ModelJob][] {
    return this.of('waiting')
      .filter(([, job]) => job.retry)
      .sort(([, a], [, b]) => a.order - b.order);
  }

  leaves(id: string, job: ModelJob, state: JobState): void {
    if (job.token !== undefined) this.stale.push({ jobId: id, token: job.token });
    job.token = undefined;
    job.state = state;
    job.retry = false;
    if (!UNDONE.has(state)) job.dedupe = undefined;
  }

  /** Its holder ended this attempt. */
  settles(id: string, job: ModelJob, how: 'ack' | 'nack', state: JobState): void {
    this.settled.push({ jobId: id, token: job.token!, how });
    this.leaves(id, job, job.state === 'cancelled' ? 'cancelled' : state);
    this.stale.pop();
  }

  /** Whether this is known: an ack while its job is, a nack while at most three others followed. */
  knows({ jobId, token, how }: QueueModel['settled'][number]): boolean {
    const nacks = this.settled.filter((each) => each.jobId === jobId && each.how === 'nack').slice(-4);
    return this.jobs.has(jobId) && (how === 'ack' || nacks.some((each) => each.token === token));
  }
}

const UNDONE = new Set<JobState>(['waiting', 'delayed', 'leased']);
const PLACES = ['waiting', 'retry', 'delayed', 'leases', 'dead'] as const;

/** The queue under test: one project of the real application. */
export class RealQueue {
  readonly queue = 'embeddings';
  readonly service: QueueService;
  readonly leasing: LeaseService;
  readonly keys: ReturnType<QueueKeys['places']>;

  constructor(
    readonly app: TestApp,
    readonly projectId: ProjectId,
  ) {
    this.service = app.get(QueueService);
    this.leasing = app.get(LeaseService);
    this.keys = app.get(QueueKeys).places(projectId, this.queue);
  }

  /** Time passes: a lease or a delay is over. */
  async elapse(place: 'leases' | 'delayed', id: string): Promise<void> {
    await this.app.state.zadd(this.keys[place], 'XX', 1, id);
  }

  /** State and attempts of a job, as its record begins. */
  async record(id: string): Promise<{ state: JobState; attempts: number } | undefined> {
    const head = await this.app.state.getrangeBuffer(`${this.keys.list}:job:${id}`, 0, 1);
    return head.length < 2 ? undefined : { state: stateOf(String.fromCharCode(head[0]!)), attempts: head[1]! };
  }
}

/** Every job in exactly one place, the list as it should be, no counter drifted. */
export async function agree(model: QueueModel, real: RealQueue): Promise<void> {
  // Reading brings the queue up to date, as every lease does: others' pops are found out here.
  await real.service.counts(real.projectId, real.queue);
  const { state } = real.app;
  const [list, size, dedupe, line, ...others] = await Promise.all([
    state.lrange(real.keys.list, 0, -1),
    state.get(real.keys.size),
    state.hgetall(real.keys.dedupe),
    state.lrange(real.keys.waiting, 0, -1),
    ...PLACES.slice(1).map((place) => state.zrange(real.keys[place], 0, '-1')),
  ]);
  expect(list).toEqual(model.list);
  // An entry is the SHA-1 of the job's bytes, and its id.
  const places = [line.map((entry) => entry.slice(40)), ...others];
  const records = new Map(
    await Promise.all([...model.jobs.keys()].map(async (id) => [id, await real.record(id)] as const)),
  );

  let undoneBytes = 0;
  let taken = 0;
  const held: Record<string, string> = {};
  for (const [id, job] of model.jobs) {
    const record = records.get(id);
    if (job.state === 'waiting' && !job.retry && record?.state === 'taken') model.leaves(id, job, 'taken');
    if (job.state === 'taken') taken += 1;
    const at = PLACES.filter((_, i) => places[i]!.includes(id));
    expect({ id, at, state: record?.state }).toEqual({ id, at: placeOf(job), state: job.state });
    if (UNDONE.has(job.state) || job.state === 'dead' || job.token !== undefined)
      undoneBytes += Buffer.byteLength(job.raw);
    if (job.dedupe !== undefined) held[job.dedupe] = id;
    if (job.state === 'dead' || UNDONE.has(job.state)) expect(record?.attempts).toBe(job.attempts);
  }
  const known = new Set(model.jobs.keys());
  expect(places.flat().filter((id) => !known.has(id))).toEqual([]);
  // Nor may more jobs have lost their bytes: whoever did so in vain would bury another one later.
  const lost = [
    ...countBy(
      model
        .of('waiting')
        .filter(([, job]) => !job.retry)
        .map(([, job]) => job.raw),
    ),
  ]
    .map(([raw, jobs]) => jobs - list.filter((item) => item === raw).length)
    .reduce((sum, missing) => sum + Math.max(missing, 0), 0);
  expect(taken + lost).toBeLessThanOrEqual(model.popped);
  expect(places[0]!.length).toBeLessThanOrEqual(list.length);
  expect(Number(size ?? 0)).toBe(undoneBytes);
  expect(dedupe).toEqual(held);
}

function countBy(items: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

function placeOf(job: ModelJob): string[] {
  switch (job.state) {
    case 'waiting':
      return [job.retry ? 'retry' : 'waiting'];
    case 'delayed':
      return ['delayed'];
    case 'leased':
      return ['leases'];
    case 'dead':
      return ['dead'];
    // A cancelled job whose worker does not know it yet still holds its lease.
    case 'cancelled':
      return job.token === undefined ? [] : ['leases'];
    default:
      return [];
  }
}
