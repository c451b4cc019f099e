import { describe, expect, it } from 'vitest';
import { docs, JOBS, QueueWorld, task } from '../../test/queue/queue-world.js';
import { until } from '../../test/support/until.js';

const world = QueueWorld.ofFile();

describe('a lease', () => {
  it('belongs to one token: acks of others change nothing, a repeated ack answers the same', async () => {
    const id = await world.add('a');
    const [job] = await world.lease();
    expect((await world.owner.post(`${JOBS}/${id}/ack`).send({ lease_token: 'other' }).expect(409)).body.code).toBe(
      'stale_lease',
    );
    expect(await world.state(id)).toBe('leased');
    const ack = { lease_token: job!.lease_token, result: { vectors: [1] } };
    await world.owner.post(`${JOBS}/${id}/ack`).send(ack).expect(204);
    await world.owner.post(`${JOBS}/${id}/ack`).send(ack).expect(204);
    expect((await world.owner.get(`${JOBS}/${id}`).expect(200)).body).toMatchObject({
      state: 'done',
      attempts: 1,
      result: { vectors: [1] },
    });
  });

  it('that expires brings the job back ahead of younger ones, and its late ack is 409', async () => {
    const id = await world.add('old');
    await world.add('young');
    const [first] = await world.lease({ lease_seconds: 1 });
    const jobs = await until(async () => {
      const found = await world.lease({ max: 1 });
      if (found.length > 0 && found[0]!.task.doc_id === 'young') {
        // Took the younger while the older was leased: put it back where it was.
        await world.leasing.release(world.projectId, 'embeddings', {
          jobs: [
            { ...found[0]!, jobId: found[0]!.job_id, leaseToken: found[0]!.lease_token, expiresAt: 0, attempt: 1 },
          ] as never,
          nonce: 0,
          weight: 1,
        });
        return undefined;
      }
      return found.length > 0 ? found : undefined;
    });
    expect(jobs[0]).toMatchObject({ job_id: id, attempt: 2 });
    await world.owner.post(`${JOBS}/${id}/ack`).send({ lease_token: first!.lease_token }).expect(409);
    await world.owner
      .post(`${JOBS}/${id}/extend`)
      .send({ lease_token: first!.lease_token, lease_seconds: 9 })
      .expect(409);
    await world.owner.post(`${JOBS}/${id}/nack`).send({ lease_token: first!.lease_token, error: 'x' }).expect(409);
    expect(await world.state(id)).toBe('leased');
    expect(docs(await world.lease())).toEqual(['young']);
  });

  it('is given once, however many ask at the same time', async () => {
    const projectId = world.projectId;
    await world.queues.enqueue(
      projectId,
      'embeddings',
      Array.from({ length: 100 }, (_, i) => ({ task: task(`d${i}`) })),
    );
    await world.queues.enqueue(
      projectId,
      'embeddings',
      Array.from({ length: 100 }, () => ({ task: task('same') })),
    );
    const leases = await Promise.all(
      Array.from({ length: 60 }, () => world.leasing.lease(projectId, 'embeddings', { max: 5 })),
    );
    const ids = leases.flatMap(({ jobs }) => jobs.map((job) => job.jobId));
    expect(ids).toHaveLength(200);
    expect(new Set(ids).size).toBe(200);
  });

  it('of a named request is the same when it is asked for again, and afresh when it has expired', async () => {
    await world.add('a');
    await world.add('b');
    const [first] = await world.lease({ request_id: 'r', lease_seconds: 1 });
    const [again] = await world.lease({ request_id: 'r', lease_seconds: 1 });
    expect(again).toMatchObject({ job_id: first!.job_id, lease_token: first!.lease_token, attempt: 1 });
    const later = await until(async () => {
      const [job] = await world.lease({ request_id: 'r', lease_seconds: 1 });
      return job && job.lease_token !== first!.lease_token ? job : undefined;
    });
    expect(later).toMatchObject({ job_id: first!.job_id, attempt: 2 });
  });

  it('is prolonged by its holder only', async () => {
    const id = await world.add('a');
    const [job] = await world.lease({ lease_seconds: 1 });
    const { body } = await world.owner
      .post(`${JOBS}/${id}/extend`)
      .send({ lease_token: job!.lease_token, lease_seconds: 600 })
      .expect(200);
    expect(body).toEqual({ lease_expires_at: expect.any(String), cancelled: false });
    expect(Date.parse(body.lease_expires_at) - Date.now()).toBeGreaterThan(300_000);
  });

  it('leads to the next one, when the ack asks for it', async () => {
    await world.add('a');
    await world.add('b');
    const [a] = await world.lease();
    const { body } = await world.owner
      .post(`${JOBS}/${a!.job_id}/ack`)
      .send({ lease_token: a!.lease_token, lease_next: true })
      .expect(200);
    expect(docs(body.jobs)).toEqual(['b']);
    const [b] = body.jobs;
    await world.owner
      .post(`${JOBS}/${b.job_id}/ack`)
      .send({ lease_token: b.lease_token, lease_next: true })
      .expect(204);
  });

  it('ends in a batch, each by itself', async () => {
    await world.add('a');
    await world.add('b');
    const [a, b] = await world.lease({ max: 2 });
    const acks = [
      { job_id: a!.job_id, lease_token: a!.lease_token },
      { job_id: b!.job_id, lease_token: 'other' },
    ];
    const { body } = await world.owner.post('/queues/embeddings/acks').send({ acks }).expect(200);
    expect(body.results.map((result: { status: number }) => result.status)).toEqual([204, 409]);
  });
});
