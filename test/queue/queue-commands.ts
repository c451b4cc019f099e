import { type AsyncCommand, boolean, commands, constant, constantFrom, integer, nat, tuple } from 'fast-check';
import { expect } from 'vitest';
import { randomId } from '../../src/common/tokens.js';
import { QueueAdminService } from '../../src/queue/queue-admin.service.js';
import type { LeasedJob } from '../../src/queue/queue.types.js';
import { agree, type ModelJob, type QueueModel, type RealQueue } from './queue-model.js';

type Command = AsyncCommand<QueueModel, RealQueue>;

/** A step: what it is called when a counterexample is printed, and what it does to both. */
function step(name: string, run: (model: QueueModel, real: RealQueue) => Promise<void>): Command {
  return {
    check: () => true,
    run: async (model, real) => {
      await run(model, real);
      await agree(model, real);
    },
    toString: () => name,
  };
}

// Few different tasks, so that equal bytes are common; short ones and long ones, whose bytes are kept apart.
const task = (n: number): { doc_id: string; chunks: string[] } => ({ doc_id: `d${n}`, chunks: ['x'.repeat(600 * n)] });
const raw = (real: RealQueue, n: number): string => JSON.stringify({ project_id: real.projectId, ...task(n) });

function pick<T>(from: readonly T[], n: number): T | undefined {
  return from.length === 0 ? undefined : from[n % from.length];
}

/** Holds a lease: also a job that was cancelled while leased. */
function held(model: QueueModel): [string, ModelJob][] {
  return [...model.jobs].filter(([, job]) => job.token !== undefined);
}

const enqueue = (n: number, dedupe: string | undefined, delay: boolean, max: number): Command =>
  step(`enqueue(${n}, ${dedupe}, ${delay ? 'delayed' : 'now'}, max ${max})`, async (model, real) => {
    const [answer] = await real.service.enqueue(real.projectId, real.queue, [
      {
        task: task(n),
        maxAttempts: max,
        ...(dedupe ? { dedupeKey: dedupe } : {}),
        ...(delay ? { delaySeconds: 900 } : {}),
      },
    ]);
    const holder = dedupe && [...model.jobs].find(([, job]) => job.dedupe === dedupe);
    if (holder) return expect(answer!.jobId).toBe(holder[0]);
    const state = delay ? 'delayed' : 'waiting';
    const order = model.tick();
    model.jobs.set(answer!.jobId, {
      raw: raw(real, n),
      state,
      retry: false,
      attempts: 0,
      max,
      order,
      dedupe,
      token: undefined,
    });
    if (!delay) model.list.push(raw(real, n));
  });

const push = (n: number): Command =>
  step(`RPUSH(${n})`, async (model, real) => {
    const bytes = n === 0 ? 'no JSON' : raw(real, n);
    await real.app.state.rpush(real.keys.list, bytes);
    model.list.push(bytes);
  });

const pop = (): Command =>
  step('LPOP', async (model, real) => {
    const bytes = await real.app.state.lpop(real.keys.list);
    expect(bytes).toBe(model.list.shift() ?? null);
    if (bytes !== null) model.popped += 1;
  });

const lease = (max: number): Command =>
  step(`lease(${max})`, async (model, real) => {
    const { jobs } = await real.leasing.lease(real.projectId, real.queue, { max, leaseSeconds: 900 });
    await leasedAs(model, real, max, jobs);
  });

const ackAndLease = (n: number): Command =>
  step(`ack(${n}) and lease`, async (model, real) => {
    const [id, job] = pick(held(model), n) ?? [];
    if (!id || !job) return;
    const done = { jobId: id, leaseToken: job.token! };
    const { jobs } = await real.leasing.ackAndLease(real.projectId, real.queue, done, { max: 2, leaseSeconds: 900 });
    model.settles(id, job, 'ack', 'done');
    await leasedAs(model, real, 2, jobs);
  });

const ackBatchAndLease = (n: number, named: boolean): Command =>
  step(`ack up to 3(${n}) and lease${named ? ' by name' : ''}`, async (model, real) => {
    const ended = held(model).slice(n % 3, (n % 3) + 3);
    const stale = pick(model.stale, n);
    if (ended.length === 0) return;
    const done = ended.map(([jobId, job]) => ({ jobId, leaseToken: job.token! }));
    if (stale) done.push({ jobId: stale.jobId, leaseToken: stale.token });
    const options = { max: 3, leaseSeconds: 900, requestId: named ? randomId() : undefined };
    const answer = await real.leasing.ackBatchAndLease(real.projectId, real.queue, done, options);
    expect(answer.outcomes).toEqual([...ended.map(() => 'done'), ...(stale ? ['stale'] : [])]);
    for (const [id, job] of ended) model.settles(id, job, 'ack', 'done');
    await leasedAs(model, real, 3, answer.lease.jobs);
  });

async function leasedAs(model: QueueModel, real: RealQueue, max: number, jobs: readonly LeasedJob[]): Promise<void> {
  // What is expected by bytes: retries by age, then the list; what is no JSON of this project dies on the way, and where
  // a look found nothing else, it is looked again.
  let looked = 0;
  const got = [...jobs];
  for (;;) {
    if (looked === max) {
      if (got.length < jobs.length) break;
      looked = 0;
    }
    const retry = model.retries()[0];
    const bytes = retry ? retry[1].raw : model.list.shift();
    if (bytes === undefined) break;
    looked += 1;
    if (bytes === 'no JSON') {
      await buried(model, real, retry?.[0]);
      continue;
    }
    const job = got.shift();
    expect(job && JSON.stringify(job.task)).toBe(bytes);
    const known = model.jobs.get(job!.jobId);
    if (retry) expect(job!.jobId).toBe(retry[0]);
    if (!known) {
      const order = model.tick();
      model.jobs.set(job!.jobId, {
        raw: bytes,
        state: 'leased',
        retry: false,
        attempts: 1,
        max: 10,
        order,
        dedupe: undefined,
        token: job!.leaseToken,
      });
    } else {
      expect(known).toMatchObject({ state: 'waiting', raw: bytes });
      Object.assign(known, {
        state: 'leased',
        retry: false,
        attempts: known.attempts + 1,
        token: job!.leaseToken,
      } satisfies Partial<ModelJob>);
    }
    expect(job!.attempt).toBe(model.jobs.get(job!.jobId)!.attempts);
  }
  expect(got).toEqual([]);
}

/** An unreadable item became a dead letter: under an id that only Redis knows, or once more after it was redriven. */
async function buried(model: QueueModel, real: RealQueue, retry: string | undefined): Promise<void> {
  const dead = await real.app.state.zrange(real.keys.dead, 0, '-1');
  const id = retry ?? dead.find((found) => model.jobs.get(found)?.state !== 'dead')!;
  expect(id).toBeDefined();
  const known = model.jobs.get(id);
  model.jobs.set(id, {
    raw: 'no JSON',
    state: 'dead',
    retry: false,
    attempts: known ? known.attempts + 1 : 0,
    max: 10,
    order: known?.order ?? model.tick(),
    dedupe: undefined,
    token: undefined,
  });
}

const ack = (n: number, again: boolean): Command =>
  step(`ack(${n}${again ? ', twice' : ''})`, async (model, real) => {
    const [id, job] = pick(held(model), n) ?? [];
    if (!id || !job) return;
    const token = job.token!;
    for (let i = 0; i < (again ? 2 : 1); i += 1) await real.leasing.ack(real.projectId, real.queue, id, token);
    model.settles(id, job, 'ack', 'done');
  });

const nack = (n: number, how: 'later' | 'now' | 'dead'): Command =>
  step(`nack(${n}, ${how})`, async (model, real) => {
    const [id, job] = pick(held(model), n) ?? [];
    if (!id || !job) return;
    await real.leasing.nack(real.projectId, real.queue, id, job.token!, {
      error: 'no',
      retryInSeconds: how === 'later' ? 900 : 0,
      dead: how === 'dead',
    });
    const { attempts, max } = job;
    const state = how === 'dead' || attempts >= max ? 'dead' : how === 'later' ? 'delayed' : 'waiting';
    model.settles(id, job, 'nack', state);
    job.retry = job.state === 'waiting';
  });

const release = (n: number): Command =>
  step(`release(${n})`, async (model, real) => {
    const [id, job] = pick(held(model), n) ?? [];
    if (!id || !job) return;
    const given = { jobId: id, leaseToken: job.token! } as never;
    await real.leasing.release(real.projectId, real.queue, { jobs: [given], nonce: 0, weight: 1 });
    if (job.state === 'cancelled') return model.leaves(id, job, 'cancelled');
    model.leaves(id, job, 'waiting');
    job.retry = true;
    job.attempts -= 1;
  });

const extend = (n: number): Command =>
  step(`extend(${n})`, async (model, real) => {
    const [id, job] = pick(held(model), n) ?? [];
    if (!id || !job) return;
    const { cancelled } = await real.leasing.extend(real.projectId, real.queue, id, job.token!, 900);
    expect(cancelled).toBe(job.state === 'cancelled');
  });

const late = (n: number): Command =>
  step(`a late ack, nack and extend(${n})`, async (model, real) => {
    const { jobId, token } = pick(model.stale, n) ?? {};
    if (!jobId || !token) return;
    const { leasing, projectId, queue } = real;
    for (const call of [
      () => leasing.ack(projectId, queue, jobId, token),
      () => leasing.nack(projectId, queue, jobId, token, { error: 'late' }),
      () => leasing.extend(projectId, queue, jobId, token, 900),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'stale_lease' });
  });

const repeat = (n: number): Command =>
  step(`the same ack or nack again, and the other one(${n})`, async (model, real) => {
    const settled = pick(model.settled, n);
    if (!settled) return;
    const { leasing, projectId, queue } = real;
    const { jobId, token, how } = settled;
    const calls = {
      ack: () => leasing.ack(projectId, queue, jobId, token),
      nack: () => leasing.nack(projectId, queue, jobId, token, { error: 'again', dead: true }),
      extend: () => leasing.extend(projectId, queue, jobId, token, 900),
    };
    for (const [name, call] of Object.entries(calls)) {
      if (name === how && model.knows(settled)) await call();
      else await expect(call()).rejects.toMatchObject({ code: 'stale_lease' });
    }
  });

const expire = (n: number): Command =>
  step(`a lease expires(${n})`, async (model, real) => {
    const [id, job] = pick(held(model), n) ?? [];
    if (!id || !job) return;
    await real.elapse('leases', id);
    if (job.state === 'cancelled') return model.leaves(id, job, 'cancelled');
    model.leaves(id, job, job.attempts >= job.max ? 'dead' : 'waiting');
    job.retry = job.state === 'waiting';
  });

const due = (n: number): Command =>
  step(`a delayed job is due(${n})`, async (model, real) => {
    const [id, job] = pick(model.of('delayed'), n) ?? [];
    if (!id || !job) return;
    await real.elapse('delayed', id);
    job.state = 'waiting';
    job.retry = job.attempts > 0;
    if (job.retry) return;
    job.order = model.tick();
    model.list.push(job.raw);
  });

const cancel = (n: number): Command =>
  step(`cancel(${n})`, async (model, real) => {
    const [id, job] = pick([...model.jobs], n) ?? [];
    if (!id || !job) return;
    const call = real.service.cancel(real.projectId, real.queue, id);
    if (['done', 'dead', 'taken'].includes(job.state)) return expect(call).rejects.toMatchObject({ code: 'conflict' });
    const at = job.state === 'waiting' && !job.retry ? model.list.indexOf(job.raw) : -2;
    if (at === -1) {
      await expect(call).rejects.toMatchObject({ code: 'conflict' });
      return model.leaves(id, job, 'taken');
    }
    await call;
    if (at >= 0) model.list.splice(at, 1);
    if (job.state === 'leased') job.state = 'cancelled';
    else if (job.state !== 'cancelled') model.leaves(id, job, 'cancelled');
    if (job.state === 'cancelled' && job.token !== undefined) return;
    job.dedupe = undefined;
  });

const redrive = (): Command =>
  step('redrive', async (model, real) => {
    const dead = await real.app.state.zrange(real.keys.dead, 0, '-1');
    await real.app.get(QueueAdminService).redrive(real.projectId, real.queue);
    for (const id of dead) {
      const job = model.jobs.get(id)!;
      Object.assign(job, { state: 'waiting', retry: false, attempts: 0, order: model.tick() });
      model.list.push(job.raw);
    }
  });

const drop = (): Command =>
  step('drop the dead', async (model, real) => {
    await real.app.get(QueueAdminService).dropDead(real.projectId, real.queue);
    for (const [id] of model.of('dead')) model.jobs.delete(id);
  });

/** Takes out what is left: nothing may stay behind, in no place and no counter. */
export async function drain(model: QueueModel, real: RealQueue): Promise<void> {
  const { service, projectId, queue } = real;
  for (const [id, job] of held(model)) await ack(0, false).run(model, real).catch(fail(id, job));
  for (;;) {
    const before = model.list.length + model.retries().length;
    await lease(10).run(model, real);
    for (const _ of held(model)) await ack(0, false).run(model, real);
    if (before === 0) break;
  }
  for (;;) {
    const [id] = model.of('delayed')[0] ?? [];
    if (id === undefined) break;
    await service.cancel(projectId, queue, id);
    model.leaves(id, model.jobs.get(id)!, 'cancelled');
  }
  await drop().run(model, real);
  expect(model.of('waiting')).toEqual([]);
  const { keys, app } = real;
  const { wake: _, history: __, hold: ___, ...places } = keys;
  expect(await app.state.exists(...Object.values(places))).toBe(0);
}

function fail(id: string, job: ModelJob) {
  return (error: unknown): never => {
    throw new Error(`draining ${id} ${JSON.stringify(job)}`, { cause: error });
  };
}

const n = nat(20);
const kind = integer({ min: 1, max: 3 });

export const sequences = commands(
  [
    tuple(kind, constantFrom(undefined, undefined, 'k', 'l'), boolean(), integer({ min: 1, max: 3 })).map(
      ([size, dedupe, delay, max]) => enqueue(size, dedupe, delay && size === 1, max),
    ),
    kind.map((size) => enqueue(size, undefined, false, 3)),
    nat(3).map(push),
    constant(pop()),
    integer({ min: 1, max: 4 }).map(lease),
    integer({ min: 1, max: 4 }).map(lease),
    tuple(n, boolean()).map(([at, again]) => ack(at, again)),
    tuple(n, constantFrom('later' as const, 'now' as const, 'dead' as const)).map(([at, how]) => nack(at, how)),
    n.map(ackAndLease),
    tuple(n, boolean()).map(([at, named]) => ackBatchAndLease(at, named)),
    n.map(release),
    n.map(extend),
    n.map(late),
    n.map(repeat),
    n.map(expire),
    n.map(due),
    n.map(cancel),
    constant(redrive()),
    constant(drop()),
  ],
  { size: '+1', maxCommands: 60 },
);
