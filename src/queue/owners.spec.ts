import { describe, expect, it } from 'vitest';
import { docs, JOBS, QueueWorld } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

const world = QueueWorld.ofFile();

describe('an owner', () => {
  it('pauses leasing, not adding, and resumes it for those who wait', async () => {
    await world.owner.post('/queues/embeddings/pause').expect(204);
    await world.add('a');
    expect(await world.lease()).toEqual([]);
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({
      paused: true,
      paused_reason: 'owner',
      waiting: 1,
    });
    const waiting = world.lease({ wait_seconds: 20 });
    await until(() => world.parking.parked > 0, 'the poll is parked');
    await world.owner.post('/queues/embeddings/resume').expect(204);
    expect(docs(await waiting)).toEqual(['a']);
  });
});

describe('why a job does not run', () => {
  it('is told: its place, the cap, the pause, the retry that is due', async () => {
    await using small = await TestApp.start({ env: { QUEUE_MAX_LEASED: '1' } });
    const bounded = await QueueWorld.of(small);
    const [first, a, b] = [await bounded.add('first'), await bounded.add('a'), await bounded.add('b')];
    const why = async (id: string) => (await bounded.owner.get(`${JOBS}/${id}`).expect(200)).body;
    expect(await why(b)).toMatchObject({ position: 3, in_flight: { now: 0, max: 1 }, oldest_age_seconds: 0 });
    expect(await why(b)).not.toHaveProperty('blocked_by');
    const [job] = await bounded.lease();
    expect(await why(a)).toMatchObject({ position: 1, blocked_by: 'in_flight', in_flight: { now: 1, max: 1 } });
    await bounded.owner
      .post(`${JOBS}/${first}/nack`)
      .send({ lease_token: job!.lease_token, error: 'x', retry_in_seconds: 600 })
      .expect(204);
    expect(await why(first)).toMatchObject({ blocked_by: 'delay', retry_at: expect.any(String) });
    await bounded.owner.post('/queues/embeddings/pause').expect(204);
    expect(await why(a)).toMatchObject({ blocked_by: 'paused' });
  });
});

describe('strict order', () => {
  const strict = async (): Promise<void> => {
    const { body } = await world.owner
      .put('/queues/embeddings/settings')
      .send({ order: 'strict', weight: 3 })
      .expect(200);
    expect(body).toEqual({ order: 'strict', weight: 3 });
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({
      order: 'strict',
      weight: 3,
    });
  };
  const end = (job: { job_id: string; lease_token: string }, how: 'ack' | 'nack', more: object = {}) =>
    world.owner.post(`${JOBS}/${job.job_id}/${how}`).send({ lease_token: job.lease_token, ...more });

  it('leases one job at a time, in order, through failures, retries and death', async () => {
    await strict();
    for (const doc of ['a', 'b', 'c']) await world.add(doc, doc === 'a' ? { max_attempts: 2 } : {});
    const [a] = await world.lease({ max: 10 });
    expect(a!.task.doc_id).toBe('a');
    expect(await world.lease()).toEqual([]);
    // While it waits for its retry, nobody passes.
    await end(a!, 'nack', { error: 'x', retry_in_seconds: 1 }).expect(204);
    expect(await world.lease({ max: 10 })).toEqual([]);
    const [again] = await world.lease({ wait_seconds: 10 });
    expect(again).toMatchObject({ job_id: a!.job_id, attempt: 2 });
    await end(again!, 'nack', { error: 'x' }).expect(204);
    expect(await world.state(a!.job_id)).toBe('dead');
    const [b] = await world.lease({ max: 10 });
    expect(b!.task.doc_id).toBe('b');
    const { body } = await end(b!, 'ack', { lease_next: true }).expect(200);
    expect(docs(body.jobs)).toEqual(['c']);
  });

  it('goes on when the job that blocks is cancelled, and holds up no other project', async () => {
    await strict();
    for (const doc of ['a', 'b']) await world.add(doc);
    const [a] = await world.lease();
    await end(a!, 'nack', { error: 'x', retry_in_seconds: 600 }).expect(204);
    expect(await world.lease()).toEqual([]);
    const blocked = world.owner;
    await world.fresh();
    await world.add('other');
    expect(docs(await world.lease())).toEqual(['other']);
    world.owner = blocked;
    await world.owner.delete(`${JOBS}/${a!.job_id}`).expect(202);
    expect(docs(await world.lease())).toEqual(['b']);
  });

  it('ends with the setting', async () => {
    await strict();
    for (const doc of ['a', 'b']) await world.add(doc);
    expect(await world.lease({ max: 10 })).toHaveLength(1);
    await world.owner.put('/queues/embeddings/settings').send({}).expect(200);
    expect(await world.lease({ max: 10 })).toHaveLength(1);
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({
      order: 'relaxed',
      weight: 1,
    });
    await world.owner.put('/queues/embeddings/settings').send({ order: 'none', weight: 0 }).expect(400);
  });
});
