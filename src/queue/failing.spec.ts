import { describe, expect, it } from 'vitest';
import { docs, JOBS, QueueWorld } from '../../test/queue/queue-world.js';
import { until } from '../../test/support/until.js';

const world = QueueWorld.ofFile();

describe('a failed job', () => {
  it('waits for its retry and goes ahead of younger ones then', async () => {
    const id = await world.add('old');
    await world.add('young');
    const [job] = await world.lease();
    await world.owner
      .post(`${JOBS}/${id}/nack`)
      .send({ lease_token: job!.lease_token, error: 'first', retry_in_seconds: 0 })
      .expect(204);
    const [again] = await world.lease();
    expect(again).toMatchObject({ job_id: id, attempt: 2 });
    await world.owner.post(`${JOBS}/${id}/nack`).send({ lease_token: again!.lease_token, error: 'second' }).expect(204);
    await world.owner.post(`${JOBS}/${id}/nack`).send({ lease_token: again!.lease_token, error: 'second' }).expect(204);
    const view = (await world.owner.get(`${JOBS}/${id}`).expect(200)).body;
    expect(view).toMatchObject({ state: 'delayed', attempts: 2, last_error: 'second' });
    const wait = Date.parse(view.retry_at) - Date.now();
    expect(wait).toBeGreaterThan(500);
    expect(wait).toBeLessThan(2300);
  });

  it('is dead after its attempts, and redriven with identical bytes', async () => {
    const foreign = `{"doc_id":"a",  "project_id":"${world.owner.projectId}","chunks":[],"n":12345678901234567890}`;
    await world.app.state.rpush(world.list, foreign);
    const [job] = await world.lease();
    await world.owner
      .post(`${JOBS}/${job!.job_id}/nack`)
      .send({ lease_token: job!.lease_token, error: 'why', dead: true })
      .expect(204);
    const { items } = (await world.owner.get('/queues/embeddings/dead').expect(200)).body;
    expect(items).toMatchObject([{ job_id: job!.job_id, error: 'why', attempts: 1 }]);
    expect((await world.owner.post('/queues/embeddings/dead/redrive').expect(200)).body).toEqual({ redriven: 1 });
    expect(await world.app.state.lrange(world.list, 0, -1)).toEqual([foreign]);
    expect(await world.lease()).toMatchObject([{ job_id: job!.job_id, attempt: 1 }]);
  });

  it('that may be tried once is dead when its lease expires', async () => {
    const id = await world.add('a', { max_attempts: 1 });
    await world.lease({ lease_seconds: 1 });
    await until(async () => (await world.state(id)) === 'dead');
    expect((await world.owner.get('/queues/embeddings/dead').expect(200)).body.items[0].error).toBe('lease expired');
    await world.owner.delete('/queues/embeddings/dead').expect(204);
    await world.owner.get(`${JOBS}/${id}`).expect(404);
  });

  it('ends the operation of a job whose last lease has expired, whoever finds it out', async () => {
    const id = await world.add('a', { max_attempts: 1, operation_id: 'op' });
    await world.lease({ lease_seconds: 1 });
    await until(async () => (await world.state(id)) === 'dead');
    expect((await world.owner.get('/operations/op').expect(200)).body).toMatchObject({
      status: 'failed',
      error: 'lease expired',
    });
  });

  it('pages the dead letters, oldest first', async () => {
    for (const doc of ['a', 'b', 'c']) await world.add(doc);
    for (const job of await world.lease({ max: 3 })) {
      await world.owner
        .post(`${JOBS}/${job.job_id}/nack`)
        .send({ lease_token: job.lease_token, error: 'x', dead: true })
        .expect(204);
    }
    const first = (await world.owner.get('/queues/embeddings/dead?limit=2').expect(200)).body;
    expect(docs(first.items)).toEqual(['a', 'b']);
    const second = (await world.owner.get(`/queues/embeddings/dead?limit=2&cursor=${first.next_cursor}`).expect(200))
      .body;
    expect(docs(second.items)).toEqual(['c']);
    expect(second.next_cursor).toBeUndefined();
  });
});

describe('cancelling', () => {
  it('takes the exact bytes of a waiting job out of the list', async () => {
    const [a, b] = [await world.add('a'), await world.add('b')];
    await world.owner.delete(`${JOBS}/${a}`).expect(202);
    await world.owner.delete(`${JOBS}/${a}`).expect(202);
    expect(await world.app.state.llen(world.list)).toBe(1);
    expect(await world.lease({ max: 10 })).toMatchObject([{ job_id: b }]);
    expect(await world.state(a)).toBe('cancelled');
  });

  it('reaches a running worker at its next extend; its ack is 204 and the state stays', async () => {
    const id = await world.add('a');
    const [job] = await world.lease();
    await world.owner.delete(`${JOBS}/${id}`).expect(202);
    const { body } = await world.owner
      .post(`${JOBS}/${id}/extend`)
      .send({ lease_token: job!.lease_token, lease_seconds: 30 })
      .expect(200);
    expect(body.cancelled).toBe(true);
    await world.owner.post(`${JOBS}/${id}/ack`).send({ lease_token: job!.lease_token }).expect(204);
    expect(await world.state(id)).toBe('cancelled');
  });

  it('is 409 for a job that is over, and 404 for one that is not known', async () => {
    const id = await world.add('a');
    const [job] = await world.lease();
    await world.owner.post(`${JOBS}/${id}/ack`).send({ lease_token: job!.lease_token }).expect(204);
    await world.owner.delete(`${JOBS}/${id}`).expect(409);
    await world.owner.delete(`${JOBS}/unknown`).expect(404);
  });
});
