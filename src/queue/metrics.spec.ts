import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { docs, JOBS, QUEUE, QueueWorld } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

describe('the metrics of queues', () => {
  let app: TestApp;
  let world: QueueWorld;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());
  beforeEach(async () => {
    world = await QueueWorld.of(app);
  });

  const text = async (): Promise<string> => (await app.anonymous.get('/metrics').expect(200)).text;
  /** The value of a series; 0 while there is none. */
  const metric = async (series: string): Promise<number> => {
    const line = (await text()).split('\n').find((each) => each.startsWith(`${series} `));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  const events = (event: string): Promise<number> => metric(`queue_jobs_total{queue="embeddings",event="${event}"}`);

  it('count what happens to jobs', async () => {
    const names = ['enqueued', 'leased', 'done', 'retried', 'dead', 'expired', 'stale', 'cancelled'];
    const before = await Promise.all(names.map(events));
    const [done, failed, dead, expired] = [
      await world.add('done'),
      await world.add('failed'),
      await world.add('dead'),
      await world.add('expired'),
    ];
    await world.owner.delete(`${JOBS}/${await world.add('cancelled')}`).expect(202);
    const [a, b, c] = await world.lease({ max: 3 });
    const [d] = await world.lease({ lease_seconds: 1 });
    expect([a, b, c, d].map((job) => job!.job_id)).toEqual([done, failed, dead, expired]);
    await world.ack(a!).expect(204);
    await world.nack(b!, { retry_in_seconds: 600 }).expect(204);
    await world.nack(c!, { dead: true }).expect(204);
    await until(async () => (await world.state(expired)) === 'waiting', 'the lease is over');
    await world.ack(d!).expect(409);
    const after = await Promise.all(names.map(events));
    expect(Object.fromEntries(names.map((name, i) => [name, after[i]! - before[i]!]))).toEqual({
      enqueued: 5,
      leased: 4,
      done: 1,
      retried: 1,
      dead: 1,
      expired: 1,
      stale: 1,
      cancelled: 1,
    });
  });

  it('tell how long jobs waited for their first lease, and only that', async () => {
    const waited = (): Promise<number> => metric('queue_wait_seconds_count{queue="embeddings"}');
    const before = await waited();
    await world.add('a');
    const [job] = await world.lease();
    await world.nack(job!, { retry_in_seconds: 0 }).expect(204);
    expect(await world.lease()).toMatchObject([{ attempt: 2 }]);
    expect(await waited()).toBe(before + 1);
  });

  it('tell how many polls wait', async () => {
    const polls = [world.lease({ wait_seconds: 20 }), world.lease({ wait_seconds: 20 })];
    await until(async () => (await metric('queue_parked_polls')) === 2, 'both wait');
    await world.add('a');
    await world.add('b');
    expect((await Promise.all(polls)).flatMap(docs).sort()).toEqual(['a', 'b']);
    expect(await metric('queue_parked_polls')).toBe(0);
  });

  it('tell what the sweeps cost, and how far the queue is behind, of projects that somebody waits for', async () => {
    const gauge = (name: string): Promise<number> => metric(`${name}{queue="embeddings"}`);
    await world.owner.post(`${QUEUE}/pause`).expect(204);
    for (const doc of ['a', 'b', 'c']) await world.add(doc);
    const poll = world.lease({ wait_seconds: 20 });
    await until(async () => (await gauge('queue_backlog_projects')) === 1, 'the sweep has seen it');
    expect(await gauge('queue_backlog_jobs')).toBe(3);
    await until(async () => (await gauge('queue_oldest_waiting_seconds')) >= 1, 'it grows older');
    expect(await metric('queue_sweep_seconds_count{queue="embeddings",kind="list"}')).toBeGreaterThan(0);
    await world.owner.post(`${QUEUE}/resume`).expect(204);
    expect(docs(await poll)).toEqual(['a']);
    await until(async () => (await gauge('queue_backlog_projects')) === 0, 'nobody waits for it any longer');
    expect(await gauge('queue_oldest_waiting_seconds')).toBe(0);
  });

  it('name no project', async () => {
    await world.add('a');
    expect(await text()).not.toContain(world.projectId);
  });
});
