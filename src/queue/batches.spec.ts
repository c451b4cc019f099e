import { describe, expect, it } from 'vitest';
import { docs, JOBS, type Leased, QueueWorld, task } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { redisCalls } from '../../test/support/redis-calls.js';
import { until } from '../../test/support/until.js';

const ACKS = '/queues/embeddings/acks';
const world = QueueWorld.ofFile();

/** Acknowledges, and asks for the next jobs. */
const cycle = (jobs: readonly Leased[], lease: object = { max: 10 }) =>
  world.owner.post(ACKS).send({ acks: jobs.map(({ job_id, lease_token }) => ({ job_id, lease_token })), lease });
const statuses = (body: { results: { status: number }[] }) => body.results.map(({ status }) => status);
const fill = async (...names: string[]): Promise<void> => {
  for (const name of names) await world.add(name);
};

describe('a batch of acks that leases the next jobs', () => {
  it('is a whole cycle in one call of Redis, each job once', async () => {
    const names = Array.from({ length: 25 }, (_, i) => `d${i}`);
    const jobs = names.map((name) => ({ task: task(name) }));
    await world.owner.post(`${JOBS}/batch`).send({ jobs }).expect(201);
    const done: string[] = [];
    for (let held = await world.lease({ max: 10 }); held.length > 0;) {
      done.push(...docs(held));
      const before = await redisCalls(world.app);
      const { body } = await cycle(held).expect(200);
      expect(statuses(body)).toEqual(held.map(() => 204));
      const after = await redisCalls(world.app);
      const scripts = Object.keys(after).filter((op) => op.startsWith('queue.') && after[op] !== before[op]);
      expect(scripts).toEqual(['queue.ack-next']);
      expect(after['queue.ack-next']! - (before['queue.ack-next'] ?? 0)).toBe(1);
      held = body.jobs;
    }
    expect(done).toEqual(names);
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({ waiting: 0, leased: 0 });
  });

  it('fences each by itself: a stale one keeps neither the others nor the lease', async () => {
    await fill('a', 'b', 'c', 'd', 'e');
    const [a, b, c] = await world.lease({ max: 3 });
    const { body } = await cycle([a!, { ...b!, lease_token: a!.lease_token }, c!, c!], { max: 10, lease_seconds: 600 });
    expect(statuses(body)).toEqual([204, 409, 204, 204]);
    expect(docs(body.jobs)).toEqual(['d', 'e']);
    expect(Date.parse(body.jobs[0].lease_expires_at) - Date.now()).toBeGreaterThan(300_000);
    expect(await Promise.all([a, b, c].map((job) => world.state(job!.job_id)))).toEqual(['done', 'leased', 'done']);
    // The answer was lost: who repeats it hears the same of the acks.
    expect(statuses((await cycle([a!, c!]).expect(200)).body)).toEqual([204, 204]);
  });

  it('leases nothing when no ack had its lease', async () => {
    await fill('a', 'b');
    const [a] = await world.lease();
    for (const lease of [{}, { request_id: 'r' }, { wait_seconds: 20 }]) {
      const { body } = await cycle([{ ...a!, lease_token: 'other' }], lease).expect(200);
      expect(body).toEqual({ results: [{ job_id: a!.job_id, status: 409 }], jobs: [] });
    }
    expect(docs(await world.lease())).toEqual(['b']);
  });

  it('keeps the result of each', async () => {
    await fill('a', 'b');
    const acks = (await world.lease({ max: 2 })).map(({ job_id, lease_token }, i) => ({
      job_id,
      lease_token,
      result: { i },
    }));
    await world.owner.post(ACKS).send({ acks, lease: {} }).expect(200);
    for (const [i, { job_id }] of acks.entries())
      expect(await world.job(job_id)).toMatchObject({ state: 'done', result: { i } });
  });

  it('gets the same jobs when a named request is repeated', async () => {
    await fill('a', 'b', 'c', 'd', 'e');
    const held = await world.lease({ max: 2 });
    const lease = { max: 2, request_id: 'r', lease_seconds: 600 };
    const { body: first } = await cycle(held, lease).expect(200);
    const { body: again } = await cycle(held, lease).expect(200);
    expect(docs(first.jobs)).toEqual(['c', 'd']);
    expect(again).toEqual(first);
    expect(docs(await world.lease({ max: 10 }))).toEqual(['e']);
  });

  it('waits for the next job when asked to, the acks being done', async () => {
    await fill('a');
    const [a] = await world.lease();
    const waiting = cycle([a!], { wait_seconds: 20 })
      .expect(200)
      .then((answer) => answer.body);
    await until(() => world.parking.parked > 0, 'it waits');
    expect(await world.state(a!.job_id)).toBe('done');
    await world.add('b');
    const body = await waiting;
    expect(statuses(body)).toEqual([204]);
    expect(docs(body.jobs)).toEqual(['b']);
  });

  it('works where others push and pop, and where retries wait', async () => {
    await fill('a', 'b', 'c');
    const held = await world.lease({ max: 2 });
    await world.nack(held[0]!, { retry_in_seconds: 0 }).expect(204);
    const theirs = { project_id: world.projectId, ...task('theirs') };
    await world.app.state.rpush(world.list, JSON.stringify(theirs), 'no JSON');
    const { body } = await cycle([held[1]!]).expect(200);
    expect(docs(body.jobs)).toEqual(['a', 'c', 'theirs']);
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({ leased: 3, dead: 1 });
    expect(new Set(body.jobs.map((job: Leased) => job.job_id)).size).toBe(3);
  });

  it('of a strict queue brings one job, and in order', async () => {
    await world.owner.put('/queues/embeddings/settings').send({ order: 'strict' }).expect(200);
    await fill('a', 'b', 'c');
    const held = await world.lease({ max: 10 });
    expect(docs(held)).toEqual(['a']);
    expect(docs((await cycle(held).expect(200)).body.jobs)).toEqual(['b']);
  });

  it('leases no more than there may be in flight, counting those that it ends', async () => {
    await using app = await TestApp.start({ env: { QUEUE_MAX_LEASED: '3' } });
    const bounded = await QueueWorld.of(app);
    for (const name of ['a', 'b', 'c', 'd', 'e']) await bounded.add(name);
    const held = await bounded.lease({ max: 10 });
    expect(docs(held)).toEqual(['a', 'b', 'c']);
    const acks = held.slice(0, 2).map(({ job_id, lease_token }) => ({ job_id, lease_token }));
    const { body } = await bounded.owner
      .post(ACKS)
      .send({ acks, lease: { max: 10 } })
      .expect(200);
    expect(docs(body.jobs)).toEqual(['d', 'e']);
  });

  it('names the field that breaks its rule', async () => {
    const { body } = await cycle([{ job_id: 'a', lease_token: 't' } as Leased], { max: 11, wait_seconds: 26 }).expect(
      400,
    );
    expect(body.errors.map(({ field }: { field: string }) => field).sort()).toEqual([
      'lease.max',
      'lease.wait_seconds',
    ]);
    await world.owner.post(ACKS).send({ acks: [], lease: {} }).expect(400);
  });
});
