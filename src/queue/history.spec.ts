import { describe, expect, it } from 'vitest';
import { JOBS, LEASES, QUEUE, QueueWorld, task } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { Clock } from '../../test/support/clock.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { until } from '../../test/support/until.js';

const HISTORY = 10_000;
const MAX_RESULT = 262_144;

describe('what is known of finished jobs', () => {
  it('is forgotten after an hour, so that nothing of them is left', async () => {
    using clock = new Clock('realtime');
    await using redis = await ownRedis('single', clock.env);
    await using app = await TestApp.start({ servers: { state: redis } });
    const world = await QueueWorld.of(app);
    const [done, cancelled] = [await world.add('done'), await world.add('cancelled')];
    const [job] = await world.lease();
    await world.ack(job!, { result: 'r' }).expect(204);
    await world.owner.delete(`${JOBS}/${cancelled}`).expect(202);
    clock.step(3_500_000);
    expect(await until(() => world.job(done).catch(() => undefined))).toMatchObject({ state: 'done', result: 'r' });
    clock.step(100_000);
    await until(async () => (await world.owner.get(`${JOBS}/${done}`)).status === 404, 'it is forgotten');
    await world.owner.get(`${JOBS}/${cancelled}`).expect(404);
    const left = async (): Promise<string[]> =>
      (await app.keysOf(world.projectId)).filter((key) => key.includes(':queue:'));
    await until(async () => (await left()).length === 0, 'no key is left');
  });

  it('is kept of the last ten thousand', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const world = await QueueWorld.of(app);
    const { queues, leasing, projectId } = world;
    const ids: string[] = [];
    while (ids.length < HISTORY + 200) {
      const jobs = Array.from({ length: 100 }, () => ({ task: task('d') }));
      ids.push(...(await queues.enqueue(projectId, 'embeddings', jobs)).map(({ jobId }) => jobId));
    }
    const work = async (): Promise<void> => {
      let { jobs } = await leasing.lease(projectId, 'embeddings');
      while (jobs.length > 0) ({ jobs } = await leasing.ackAndLease(projectId, 'embeddings', jobs[0]!));
    };
    await Promise.all(Array.from({ length: 20 }, work));
    const status = async (id: string): Promise<number> => (await world.owner.get(`${JOBS}/${id}`)).status;
    expect(await status(ids[0]!)).toBe(404);
    expect(await status(ids[150]!)).toBe(404);
    expect(await world.state(ids[HISTORY]!)).toBe('done');
    expect(await world.state(ids.at(-1)!)).toBe('done');
    // A record each, and what the queue has beside them.
    expect((await app.keysOf(projectId)).length).toBeLessThan(HISTORY + 20);
  }, 60_000);
});

describe('a result', () => {
  const world = QueueWorld.ofFile();

  it('is bounded: what is larger is refused by name, and the job stays with its worker', async () => {
    const id = await world.add('a');
    const [job] = await world.lease();
    // As JSON: two quotes.
    const { body } = await world.ack(job!, { result: 'x'.repeat(MAX_RESULT - 1) }).expect(400);
    expect(body).toMatchObject({ code: 'validation_failed', errors: [{ field: 'result' }] });
    expect(await world.state(id)).toBe('leased');
    const largest = 'ß'.repeat(MAX_RESULT / 2 - 1);
    await world.ack(job!, { result: largest }).expect(204);
    expect((await world.job(id))['result']).toBe(largest);
  });

  it('is bounded in a batch, which then changes nothing', async () => {
    const ids = [await world.add('a'), await world.add('b')];
    const { jobs } = (await world.owner.post(LEASES).send({ max: 2 }).expect(200)).body;
    const acks = jobs.map(({ job_id, lease_token }: { job_id: string; lease_token: string }, i: number) => ({
      job_id,
      lease_token,
      result: 'x'.repeat(i * MAX_RESULT),
    }));
    const { body } = await world.owner.post(`${QUEUE}/acks`).send({ acks }).expect(400);
    expect(body).toMatchObject({ code: 'validation_failed', errors: [{ field: 'acks.1.result' }] });
    const alone = await world.owner
      .post(`${QUEUE}/acks`)
      .send({ acks: acks.slice(1, 2) })
      .expect(400);
    expect(alone.body).toMatchObject({ code: 'validation_failed', errors: [{ field: 'acks.0.result' }] });
    for (const id of ids) expect(await world.state(id)).toBe('leased');
  });
});
