import { describe, expect, it } from 'vitest';
import { JOBS, LEASES, QueueWorld, task } from '../../test/queue/queue-world.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { isAppError } from '../common/app-error.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { EmbeddingsTaskDto } from './dto/task.dto.js';
import { QueueRegistry } from './queue.registry.js';

const world = QueueWorld.ofFile();

describe('the edge', () => {
  it('knows no other queues', async () => {
    for (const path of ['/queues/other', '/queues/other/dead'])
      expect((await world.owner.get(path).expect(404)).body.code).toBe('not_found');
    await world.owner
      .post('/queues/other/jobs')
      .send({ task: task('a') })
      .expect(404);
    await world.owner.post('/queues/other/leases').send({}).expect(404);
  });

  it('asks for the right role', async () => {
    const [viewer, editor, worker] = await Promise.all(
      (['viewer', 'editor', 'worker'] as const).map((role) => world.app.caller(role, world.owner.projectId)),
    );
    await viewer!
      .post(JOBS)
      .send({ task: task('a') })
      .expect(403);
    await worker!
      .post(JOBS)
      .send({ task: task('a') })
      .expect(403);
    await editor!
      .post(JOBS)
      .send({ task: task('a') })
      .expect(201);
    await editor!.post(LEASES).send({}).expect(403);
    await worker!.post(LEASES).send({}).expect(200);
    await worker!.post('/queues/embeddings/pause').expect(403);
    await viewer!.get('/queues').expect(200);
  });

  it('is empty at once for every reader when its project is purged, and takes new jobs of the same bytes', async () => {
    const [done, waiting, held] = [await world.add('a'), await world.add('b'), await world.add('c')];
    const jobs = await world.lease({ max: 1 });
    await world.owner
      .post(`${JOBS}/${done}/ack`)
      .send({ lease_token: jobs[0]!.lease_token, result: 'secret' })
      .expect(204);
    // As if the sweep had not come to any record yet.
    for (const { feature, hook } of world.app.get(PurgeRegistry).hooks)
      if (feature === 'queue') await hook(world.projectId);
    for (const id of [done, waiting, held]) {
      await world.owner.get(`${JOBS}/${id}`).expect(404);
      await world.owner.delete(`${JOBS}/${id}`).expect(404);
    }
    const again = await world.add('b');
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({
      waiting: 1,
      leased: 0,
      dead: 0,
    });
    expect(await world.lease({ max: 10 })).toMatchObject([{ job_id: again }]);
  });

  it('lists the queues in pages, by name', async () => {
    await using several = await TestApp.start();
    several.get(QueueRegistry).declare({ name: 'another', task: EmbeddingsTaskDto });
    const caller = await several.caller('viewer');
    const first = (await caller.get('/queues?limit=1').expect(200)).body;
    expect(first).toMatchObject({ items: [{ queue: 'another' }], next_cursor: 'another' });
    const second = (await caller.get(`/queues?limit=1&cursor=${first.next_cursor}`).expect(200)).body;
    expect(second).toMatchObject({ items: [{ queue: 'embeddings' }] });
    expect(second.next_cursor).toBeUndefined();
    expect((await caller.get('/queues?limit=101').expect(400)).body.code).toBe('validation_failed');
  });

  it('names the field that breaks its rule', async () => {
    const { body } = await world.owner
      .post(LEASES)
      .send({ max: 11, lease_seconds: 0, wait_seconds: 26, request_id: 'a b' })
      .expect(400);
    expect(body.errors.map((error: { field: string }) => error.field).sort()).toEqual([
      'lease_seconds',
      'max',
      'request_id',
      'wait_seconds',
    ]);
    const { body: options } = await world.owner
      .post(JOBS)
      .send({ task: task('a'), options: { max_attempts: 0, delay_seconds: -1 } })
      .expect(400);
    expect(options.errors.map((error: { field: string }) => error.field).sort()).toEqual([
      'options.delay_seconds',
      'options.max_attempts',
    ]);
  });

  it('is a conflict of one project alone when a key holds another kind of value', async () => {
    await world.app.state.set(world.list, 'no list', 'EX', 60);
    expect(
      (
        await world.owner
          .post(JOBS)
          .send({ task: task('a') })
          .expect(409)
      ).body.code,
    ).toBe('conflict');
    await world.owner.post(LEASES).send({}).expect(409);
    const other = await world.app.caller('owner');
    await other
      .post(JOBS)
      .send({ task: task('a') })
      .expect(201);
  });

  it('leaves nothing without a TTL when all work is done', async () => {
    await world.add('a', { dedupe_key: 'k', operation_id: 'op' });
    for (const job of await world.lease())
      await world.owner.post(`${JOBS}/${job.job_id}/ack`).send({ lease_token: job.lease_token }).expect(204);
    for (const key of await world.app.keysOf(world.owner.projectId))
      expect(await world.app.state.pttl(key), key).toBeGreaterThan(0);
  });

  it('throws what the contract names, for code as for HTTP', async () => {
    const refusal = await world.leasing
      .ack(newProject(), 'embeddings', 'none', 'none')
      .catch((error: unknown) => error);
    expect(isAppError(refusal, 'stale_lease')).toBe(true);
  });
});
