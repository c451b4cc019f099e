import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { JOBS, QueueWorld, task } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { dump } from '../../test/support/script-example.js';
import { until } from '../../test/support/until.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { QueueKeys } from './queue.keys.js';
import { ackAndLease, enqueuePlain, leaseHead } from './queue.scripts.js';

const ASK_WHOLE = 0;
const ADDED = 1;
const FULL = 2;

const world = QueueWorld.ofFile();

/** They write before they know all, so what they refuse has to leave no trace. */
describe('a short script that refuses', () => {
  const keys = () => world.app.get(QueueKeys).places(world.projectId, 'embeddings');
  const state = () => dump(world.app, world.projectId);
  const runner = () => world.app.get(ScriptRunner);
  const foreign = (doc: string) => JSON.stringify({ project_id: world.projectId, ...task(doc) });

  const add = (count: number, bounds: { max_jobs?: number; max_bytes?: number } = {}) => {
    const jobs = Array.from({ length: count }, (_, i) => {
      const raw = foreign(`n${i}`);
      return [createHash('sha1').update(raw).digest('hex') + `id${i}`, raw, 3, ''];
    });
    const args = { max_jobs: 100, max_bytes: 10_000, ...bounds, jobs: jobs.flat() };
    return runner().run(enqueuePlain, { keys: keys(), args });
  };
  const bounds = { token: 't', lease_ms: 9000, max_leased: 10, max_dead: 10 };
  const lease = (wanted: number) => runner().run(leaseHead, { keys: keys(), args: { ...bounds, wanted } });
  const ackNext = (acks: string[], wanted = 1) => {
    const args = { ...bounds, wanted, most: wanted, acks };
    return runner().run(ackAndLease, { keys: keys(), args });
  };
  const nothingBy = async (call: () => Promise<unknown>, answer: number) => {
    const before = await state();
    expect(await call()).toBe(answer);
    expect(await state()).toEqual(before);
  };

  it.each([1, 3])('adds none of %i jobs when there is no room, not even to an empty queue', async (count) => {
    await nothingBy(() => add(count, { max_jobs: count - 1 }), FULL);
    await nothingBy(() => add(count, { max_bytes: 10 }), FULL);
    expect(await add(count, { max_jobs: count })).toBe(ADDED);
    await nothingBy(() => add(count, { max_jobs: 2 * count - 1 }), FULL);
    await nothingBy(() => add(count, { max_bytes: 10 }), FULL);
    expect(await add(count, { max_jobs: 2 * count })).toBe(ADDED);
  });

  // On a server of its own: on that of the suite nobody may send what blocks.
  it('shows nothing of what it takes back to a program that waits for the list', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis }, env: { QUEUE_MAX_JOBS: '1' } });
    const full = await QueueWorld.of(app);
    await full.add('a');
    const [job] = await full.lease();
    const other = app.state.duplicate();
    try {
      const popped = other.blpop(full.list, 0);
      await until(async () => /flags=b /.test((await app.state.client('LIST')) as string), 'it waits');
      await full.owner
        .post(JOBS)
        .send({ task: task('refused') })
        .expect(429);
      await full.ack(job!).expect(204);
      await full.add('b');
      expect((await popped)?.[1]).toContain('"doc_id":"b"');
    } finally {
      other.disconnect();
    }
  });

  it('adds nothing where others popped, even when the bytes of what they popped fill the queue', async () => {
    await world.add('a');
    await world.add('b');
    await world.app.state.lpop(world.list);
    await nothingBy(() => add(1), ASK_WHOLE);
    await nothingBy(() => add(2, { max_bytes: 10 }), ASK_WHOLE);
    await world.app.state.lpop(world.list);
    await nothingBy(() => add(3), ASK_WHOLE);
  });

  const heads: [string, () => Promise<unknown>][] = [
    ["is another's", () => world.app.state.lpush(world.list, foreign('x'))],
    ['was popped', () => world.app.state.lpop(world.list)],
    ['is of a job without a record', async () => world.app.state.del(`${world.list}:job:${await first()}`)],
    [
      'is of a job whose record is no record',
      async () => world.app.state.set(`${world.list}:job:${await first()}`, 'x'),
    ],
    [
      'is of a job whose record is a hash',
      async () => {
        await world.app.state.del(`${world.list}:job:${await first()}`);
        await world.app.state.hset(`${world.list}:job:${await first()}`, 'a', 'b');
      },
    ],
    ['is all that is left of two jobs', () => world.app.state.rpop(world.list)],
  ];
  const first = async () => (await world.app.state.lindex(`${world.list}:waiting`, 0))!.slice(40);

  it.each(heads)('leases nothing, and ends nothing, when the head %s', async (_, happens) => {
    for (const doc of ['held', 'a', 'b']) await world.add(doc);
    const [held] = await world.lease();
    await happens();
    const acks = [held!.job_id, held!.lease_token, ''];
    await nothingBy(() => lease(2), ASK_WHOLE);
    await nothingBy(() => ackNext(acks, 2), ASK_WHOLE);
  });

  it.each(heads.slice(0, 5))('leases no single job, and ends nothing, when the head %s', async (_, happens) => {
    for (const doc of ['held', 'a', 'b']) await world.add(doc);
    const [held] = await world.lease();
    await happens();
    await nothingBy(() => lease(1), ASK_WHOLE);
    await nothingBy(() => ackNext([held!.job_id, held!.lease_token, '']), ASK_WHOLE);
  });

  it('leases nothing when a task of others follows its jobs', async () => {
    for (const doc of ['held', 'a', 'b']) await world.add(doc);
    const [held] = await world.lease();
    await world.app.state.rpush(world.list, foreign('x'), foreign('y'));
    await nothingBy(() => lease(3), ASK_WHOLE);
    await nothingBy(() => ackNext([held!.job_id, held!.lease_token, ''], 3), ASK_WHOLE);
    expect(await lease(2)).toHaveLength(2 + 2 * 6);
    await nothingBy(() => lease(1), ASK_WHOLE);
  });

  it('puts back what a reply has no room for, in its order', async () => {
    for (const doc of ['a', 'b', 'c', 'd'])
      await world.queues.enqueue(world.projectId, 'embeddings', [{ task: task(doc, 'x'.repeat(400_000)) }]);
    const before = await world.app.state.lrange(`${world.list}:waiting`, 0, -1);
    const jobs = (await lease(4)) as unknown[];
    expect(jobs).toHaveLength(2 + 2 * 6);
    expect(await world.app.state.lrange(`${world.list}:waiting`, 0, -1)).toEqual(before.slice(2));
    expect(await world.app.state.llen(world.list)).toBe(2);
    expect((await world.lease({ max: 4 })).map((job) => job.task.doc_id)).toEqual(['c', 'd']);
  });

  it.each([
    ['list', 'conflict'],
    ['history', 'conflict'],
    ['size', 'internal_error'],
  ] as const)('ends and leases nothing when %s is of another kind', async (place, code) => {
    for (const doc of ['held', 'other', 'a', 'b']) await world.add(doc);
    const [held, other] = await world.lease({ max: 2 });
    if (place === 'size') await world.ack(other!);
    await world.app.state.set(keys()[place], 'no number');
    const before = await state();
    await expect(ackNext([held!.job_id, held!.lease_token, ''])).rejects.toMatchObject({ code });
    expect(await state()).toEqual(before);
  });
});

describe('a short lease', () => {
  it('keeps the long bytes of a job even when somebody uses their key', async () => {
    const long = [{ task: task('a', 'x'.repeat(2000)) }];
    const [added] = await world.queues.enqueue(world.projectId, 'embeddings', long);
    await world.app.state.set(`${world.list}:job:${added!.jobId}:raw`, 'of another kind');
    const [job] = await world.lease();
    await world.nack(job!, { retry_in_seconds: 0 }).expect(204);
    expect(await world.lease()).toMatchObject([{ job_id: added!.jobId, task: job!.task }]);
  });
});
