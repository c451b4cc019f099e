import { describe, expect, it } from 'vitest';
import { JOBS, LEASES, QueueWorld, task } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { isAppError } from '../common/app-error.js';

const world = QueueWorld.ofFile();

describe('adding', () => {
  it('happens once for an Idempotency-Key, and refuses it with another body', async () => {
    const send = (doc: string) =>
      world.owner
        .post(JOBS)
        .set('Idempotency-Key', 'k')
        .send({ task: task(doc) });
    const first = (await send('a').expect(201)).body;
    expect((await send('a').expect(201)).body).toEqual(first);
    expect((await send('b').expect(409)).body.code).toBe('conflict');
    expect(await world.app.state.llen(world.list)).toBe(1);
  });

  it('answers the undone job that holds the dedupe key, and a new one when that is over', async () => {
    const a = await world.add('a', { dedupe_key: 'same' });
    expect(await world.add('a', { dedupe_key: 'same' })).toBe(a);
    const [job] = await world.lease();
    expect(await world.add('a', { dedupe_key: 'same' })).toBe(a);
    await world.owner.post(`${JOBS}/${a}/ack`).send({ lease_token: job!.lease_token }).expect(204);
    expect(await world.add('a', { dedupe_key: 'same' })).not.toBe(a);
  });

  it('reports as the operation it was added with, not as that of a later call with its dedupe key', async () => {
    await world.add('a', { dedupe_key: 'same', operation_id: 'first' });
    await world.add('a', { dedupe_key: 'same', operation_id: 'second' });
    await world.owner.get('/operations/first').expect(200);
    await world.owner.get('/operations/second').expect(404);
  });

  it('takes null for what was left out', async () => {
    await world.owner
      .post(JOBS)
      .send({ task: task('a'), options: null })
      .expect(201);
    await world.owner
      .post(JOBS)
      .send({ task: task('b'), options: { delay_seconds: null, dedupe_key: null, operation_id: null } })
      .expect(201);
    await world.owner.post(LEASES).send({ request_id: null }).expect(200);
  });

  it('adds a batch whole or not at all, and names the job that is wrong', async () => {
    const jobs = [{ task: task('a') }, { task: { doc_id: 'b:', chunks: 'no' } }];
    const { body } = await world.owner.post(`${JOBS}/batch`).send({ jobs }).expect(400);
    const fields = new Set(body.errors.map((error: { field: string }) => error.field));
    expect(fields).toEqual(new Set(['jobs.1.task.chunks', 'jobs.1.task.doc_id']));
    const alone = await world.owner
      .post(`${JOBS}/batch`)
      .send({ jobs: [{ task: { doc_id: 1, chunks: [] } }] })
      .expect(400);
    expect(alone.body.errors[0].field).toBe('jobs.0.task.doc_id');
    expect((await world.owner.get('/queues/embeddings').expect(200)).body.waiting).toBe(0);
  });

  it('refuses a batch of more than 4 MiB, and stores nothing of it', async () => {
    const jobs = Array.from({ length: 5 }, () => ({ task: task('a', 'x'.repeat(1_000_000)) }));
    const refusal = await world.queues.enqueue(world.projectId, 'embeddings', jobs).catch((error: unknown) => error);
    expect(isAppError(refusal, 'payload_too_large')).toBe(true);
    expect(await world.app.keysOf(world.owner.projectId)).toEqual([]);
  });

  it('refuses fields that a task does not have, and a project_id of the caller', async () => {
    const { body } = await world.owner
      .post(JOBS)
      .send({ task: { ...task('a'), project_id: newProject() } })
      .expect(400);
    expect(body.errors[0].field).toBe('task.project_id');
  });
});

describe('bounds', () => {
  it('refuses jobs beyond the maximum of jobs or bytes, stores nothing then, and never refuses a retry', async () => {
    await using small = await TestApp.start({
      env: { QUEUE_MAX_JOBS: '2', QUEUE_MAX_BYTES: '2000', QUEUE_MAX_LEASED: '1' },
    });
    const caller = await small.caller('owner');
    const send = (size: number) => caller.post(JOBS).send({ task: task('a', 'x'.repeat(size)) });
    const huge = await send(3000).expect(429);
    expect(huge.body).toMatchObject({ code: 'queue_full', rule: 'embeddings' });
    expect(Number(huge.headers['retry-after'])).toBeGreaterThan(0);
    await send(10).expect(201);
    await send(10).expect(201);
    await send(10).expect(429);
    const { jobs } = (await caller.post(LEASES).send({ max: 10 }).expect(200)).body;
    expect(jobs).toHaveLength(1);
    await caller.post(LEASES).send({}).expect(204);
    await caller
      .post(`${JOBS}/${jobs[0].job_id}/nack`)
      .send({ lease_token: jobs[0].lease_token, error: 'x', retry_in_seconds: 0 })
      .expect(204);
    expect((await caller.get('/queues/embeddings').expect(200)).body).toMatchObject({ waiting: 2, leased: 0 });
  });
});
