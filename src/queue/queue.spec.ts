import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { isAppError } from '../common/app-error.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { EmbeddingsTaskDto } from './dto/task.dto.js';
import { QueueRegistry } from './queue.registry.js';
import { QueueService } from './queue.service.js';

const JOBS = '/queues/embeddings/jobs';
const LEASES = '/queues/embeddings/leases';
const task = (doc_id: string, ...chunks: string[]): { doc_id: string; chunks: string[] } => ({ doc_id, chunks });

describe('queues', () => {
  let app: TestApp;
  let queues: QueueService;
  let owner: Caller;
  let list: string;
  beforeAll(async () => {
    app = await TestApp.start();
    queues = app.get(QueueService);
  });
  afterAll(() => app.close());

  async function fresh(): Promise<void> {
    owner = await app.caller('owner');
    list = app.keys.key(owner.projectId as never, 'queue', 'embeddings');
  }
  const add = async (doc: string, options: object = {}): Promise<string> =>
    (
      await owner
        .post(JOBS)
        .send({ task: task(doc, 'x'), options })
        .expect(201)
    ).body.job_id;
  const lease = async (
    options: object = {},
  ): Promise<{ job_id: string; lease_token: string; attempt: number; task: { doc_id: string } }[]> => {
    const answer = await owner.post(LEASES).send(options);
    return answer.status === 204 ? [] : answer.body.jobs;
  };
  const state = async (id: string): Promise<string> => (await owner.get(`${JOBS}/${id}`).expect(200)).body.state;
  const docs = (jobs: { task: { doc_id: string } }[]): string[] => jobs.map((job) => job.task.doc_id);

  describe('the list', () => {
    it('holds exactly the agreed JSON, first in at the head, and shrinks as jobs are leased', async () => {
      await fresh();
      await owner
        .post(JOBS)
        .send({ task: task('a', 'ß', '"q"') })
        .expect(201);
      await owner
        .post(`${JOBS}/batch`)
        .send({ jobs: [{ task: task('b') }, { task: task('c') }] })
        .expect(201);
      const p = owner.projectId;
      expect(await app.state.lrange(list, 0, -1)).toEqual([
        `{"project_id":"${p}","doc_id":"a","chunks":["ß","\\"q\\""]}`,
        `{"project_id":"${p}","doc_id":"b","chunks":[]}`,
        `{"project_id":"${p}","doc_id":"c","chunks":[]}`,
      ]);
      expect(docs(await lease({ max: 2 }))).toEqual(['a', 'b']);
      expect(await app.state.llen(list)).toBe(1);
    });

    it('serves what others pushed like our own, in order, with fields it does not know', async () => {
      await fresh();
      await add('a');
      const foreign = { project_id: owner.projectId, doc_id: 'b', chunks: ['x'], priority: 'high' };
      await app.state.rpush(list, JSON.stringify(foreign));
      await add('c');
      const jobs = await lease({ max: 10 });
      expect(docs(jobs)).toEqual(['a', 'b', 'c']);
      expect(jobs[1]!.task).toEqual(foreign);
      for (const job of jobs)
        await owner.post(`${JOBS}/${job.job_id}/ack`).send({ lease_token: job.lease_token }).expect(204);
      expect(await state(jobs[1]!.job_id)).toBe('done');
    });

    it('knows what others popped, wherever in the line', async () => {
      await fresh();
      const [a, b, c] = [await add('a'), await add('b'), await add('c')];
      await app.state.lpop(list);
      expect(await state(a)).toBe('taken');
      await app.state.rpop(list);
      await app.state.rpush(list, JSON.stringify({ project_id: owner.projectId, ...task('d') }));
      expect(docs(await lease({ max: 10 }))).toEqual(['b', 'd']);
      expect(await state(b)).toBe('leased');
      expect(await until(async () => (await state(c)) === 'taken')).toBe(true);
      expect((await owner.get('/queues/embeddings').expect(200)).body).toMatchObject({ waiting: 0, leased: 2 });
    });

    it.each([
      ['no JSON', () => '{nope'],
      ['an empty item', () => ''],
      ['another project', () => JSON.stringify({ project_id: newProject(), ...task('x') })],
      ['no project', () => JSON.stringify(task('x'))],
      ['over 1 MiB', () => JSON.stringify({ project_id: owner.projectId, ...task('x', 'y'.repeat(1_100_000)) })],
      ['wrong fields', () => JSON.stringify({ project_id: owner.projectId, doc_id: 'x', chunks: [1] })],
      ['a list', () => '[1]'],
    ])('sends what nobody can work on (%s) to the dead letters, and goes on', async (_what, item) => {
      await fresh();
      await app.state.rpush(list, item());
      await add('good');
      const found = await until(async () => {
        const jobs = await lease();
        return jobs.length > 0 ? jobs : undefined;
      });
      expect(docs(found)).toEqual(['good']);
      const { items } = (await owner.get('/queues/embeddings/dead').expect(200)).body;
      expect(items).toHaveLength(1);
      expect(items[0].error).toMatch(/unreadable|chunks/);
    });
  });

  describe('a lease', () => {
    it('belongs to one token: acks of others change nothing, a repeated ack answers the same', async () => {
      await fresh();
      const id = await add('a');
      const [job] = await lease();
      expect((await owner.post(`${JOBS}/${id}/ack`).send({ lease_token: 'other' }).expect(409)).body.code).toBe(
        'stale_lease',
      );
      expect(await state(id)).toBe('leased');
      const ack = { lease_token: job!.lease_token, result: { vectors: [1] } };
      await owner.post(`${JOBS}/${id}/ack`).send(ack).expect(204);
      await owner.post(`${JOBS}/${id}/ack`).send(ack).expect(204);
      expect((await owner.get(`${JOBS}/${id}`).expect(200)).body).toMatchObject({
        state: 'done',
        attempts: 1,
        result: { vectors: [1] },
      });
    });

    it('that expires brings the job back ahead of younger ones, and its late ack is 409', async () => {
      await fresh();
      const id = await add('old');
      await add('young');
      const [first] = await lease({ lease_seconds: 1 });
      const jobs = await until(async () => {
        const found = await lease({ max: 1 });
        if (found.length > 0 && found[0]!.task.doc_id === 'young') {
          // Took the younger while the older was leased: put it back where it was.
          await queues.release(owner.projectId as never, 'embeddings', {
            jobs: [
              { ...found[0]!, jobId: found[0]!.job_id, leaseToken: found[0]!.lease_token, expiresAt: 0, attempt: 1 },
            ] as never,
            nonce: 0,
          });
          return undefined;
        }
        return found.length > 0 ? found : undefined;
      });
      expect(jobs[0]).toMatchObject({ job_id: id, attempt: 2 });
      await owner.post(`${JOBS}/${id}/ack`).send({ lease_token: first!.lease_token }).expect(409);
      await owner.post(`${JOBS}/${id}/extend`).send({ lease_token: first!.lease_token, lease_seconds: 9 }).expect(409);
      await owner.post(`${JOBS}/${id}/nack`).send({ lease_token: first!.lease_token, error: 'x' }).expect(409);
      expect(await state(id)).toBe('leased');
      expect(docs(await lease())).toEqual(['young']);
    });

    it('is given once, however many ask at the same time', async () => {
      await fresh();
      const projectId = owner.projectId as never;
      await queues.enqueue(
        projectId,
        'embeddings',
        Array.from({ length: 100 }, (_, i) => ({ task: task(`d${i}`) })),
      );
      await queues.enqueue(
        projectId,
        'embeddings',
        Array.from({ length: 100 }, () => ({ task: task('same') })),
      );
      const leases = await Promise.all(
        Array.from({ length: 60 }, () => queues.lease(projectId, 'embeddings', { max: 5 })),
      );
      const ids = leases.flatMap(({ jobs }) => jobs.map((job) => job.jobId));
      expect(ids).toHaveLength(200);
      expect(new Set(ids).size).toBe(200);
    });

    it('of a named request is the same when it is asked for again, and afresh when it has expired', async () => {
      await fresh();
      await add('a');
      await add('b');
      const [first] = await lease({ request_id: 'r', lease_seconds: 1 });
      const [again] = await lease({ request_id: 'r', lease_seconds: 1 });
      expect(again).toMatchObject({ job_id: first!.job_id, lease_token: first!.lease_token, attempt: 1 });
      const later = await until(async () => {
        const [job] = await lease({ request_id: 'r', lease_seconds: 1 });
        return job && job.lease_token !== first!.lease_token ? job : undefined;
      });
      expect(later).toMatchObject({ job_id: first!.job_id, attempt: 2 });
    });

    it('is prolonged by its holder only', async () => {
      await fresh();
      const id = await add('a');
      const [job] = await lease({ lease_seconds: 1 });
      const { body } = await owner
        .post(`${JOBS}/${id}/extend`)
        .send({ lease_token: job!.lease_token, lease_seconds: 600 })
        .expect(200);
      expect(body).toEqual({ lease_expires_at: expect.any(String), cancelled: false });
      expect(Date.parse(body.lease_expires_at) - Date.now()).toBeGreaterThan(300_000);
    });

    it('leads to the next one, when the ack asks for it', async () => {
      await fresh();
      await add('a');
      await add('b');
      const [a] = await lease();
      const { body } = await owner
        .post(`${JOBS}/${a!.job_id}/ack`)
        .send({ lease_token: a!.lease_token, lease_next: true })
        .expect(200);
      expect(docs(body.jobs)).toEqual(['b']);
      const [b] = body.jobs;
      await owner.post(`${JOBS}/${b.job_id}/ack`).send({ lease_token: b.lease_token, lease_next: true }).expect(204);
    });

    it('ends in a batch, each by itself', async () => {
      await fresh();
      await add('a');
      await add('b');
      const [a, b] = await lease({ max: 2 });
      const acks = [
        { job_id: a!.job_id, lease_token: a!.lease_token },
        { job_id: b!.job_id, lease_token: 'other' },
      ];
      const { body } = await owner.post('/queues/embeddings/acks').send({ acks }).expect(200);
      expect(body.results.map((result: { status: number }) => result.status)).toEqual([204, 409]);
    });
  });

  describe('a failed job', () => {
    it('waits for its retry and goes ahead of younger ones then', async () => {
      await fresh();
      const id = await add('old');
      await add('young');
      const [job] = await lease();
      await owner
        .post(`${JOBS}/${id}/nack`)
        .send({ lease_token: job!.lease_token, error: 'first', retry_in_seconds: 0 })
        .expect(204);
      const [again] = await lease();
      expect(again).toMatchObject({ job_id: id, attempt: 2 });
      await owner.post(`${JOBS}/${id}/nack`).send({ lease_token: again!.lease_token, error: 'second' }).expect(204);
      await owner.post(`${JOBS}/${id}/nack`).send({ lease_token: again!.lease_token, error: 'second' }).expect(204);
      const view = (await owner.get(`${JOBS}/${id}`).expect(200)).body;
      expect(view).toMatchObject({ state: 'delayed', attempts: 2, last_error: 'second' });
      const wait = Date.parse(view.retry_at) - Date.now();
      expect(wait).toBeGreaterThan(500);
      expect(wait).toBeLessThan(2300);
    });

    it('is dead after its attempts, and redriven with identical bytes', async () => {
      await fresh();
      const foreign = `{"doc_id":"a",  "project_id":"${owner.projectId}","chunks":[],"n":12345678901234567890}`;
      await app.state.rpush(list, foreign);
      const [job] = await lease();
      await owner
        .post(`${JOBS}/${job!.job_id}/nack`)
        .send({ lease_token: job!.lease_token, error: 'why', dead: true })
        .expect(204);
      const { items } = (await owner.get('/queues/embeddings/dead').expect(200)).body;
      expect(items).toMatchObject([{ job_id: job!.job_id, error: 'why', attempts: 1 }]);
      expect((await owner.post('/queues/embeddings/dead/redrive').expect(200)).body).toEqual({ redriven: 1 });
      expect(await app.state.lrange(list, 0, -1)).toEqual([foreign]);
      expect(await lease()).toMatchObject([{ job_id: job!.job_id, attempt: 1 }]);
    });

    it('that may be tried once is dead when its lease expires', async () => {
      await fresh();
      const id = await add('a', { max_attempts: 1 });
      await lease({ lease_seconds: 1 });
      await until(async () => (await state(id)) === 'dead');
      expect((await owner.get('/queues/embeddings/dead').expect(200)).body.items[0].error).toBe('lease expired');
      await owner.delete('/queues/embeddings/dead').expect(204);
      await owner.get(`${JOBS}/${id}`).expect(404);
    });

    it('ends the operation of a job whose last lease has expired, whoever finds it out', async () => {
      await fresh();
      const id = await add('a', { max_attempts: 1, operation_id: 'op' });
      await lease({ lease_seconds: 1 });
      await until(async () => (await state(id)) === 'dead');
      expect((await owner.get('/operations/op').expect(200)).body).toMatchObject({
        status: 'failed',
        error: 'lease expired',
      });
    });

    it('pages the dead letters, oldest first', async () => {
      await fresh();
      for (const doc of ['a', 'b', 'c']) await add(doc);
      for (const job of await lease({ max: 3 })) {
        await owner
          .post(`${JOBS}/${job.job_id}/nack`)
          .send({ lease_token: job.lease_token, error: 'x', dead: true })
          .expect(204);
      }
      const first = (await owner.get('/queues/embeddings/dead?limit=2').expect(200)).body;
      expect(docs(first.items)).toEqual(['a', 'b']);
      const second = (await owner.get(`/queues/embeddings/dead?limit=2&cursor=${first.next_cursor}`).expect(200)).body;
      expect(docs(second.items)).toEqual(['c']);
      expect(second.next_cursor).toBeUndefined();
    });
  });

  describe('waiting', () => {
    it('answers as soon as a job comes, ours or pushed by another program', async () => {
      await fresh();
      const waiting = lease({ wait_seconds: 20 });
      await until(() => app.get(QueueService)['parking'].parked > 0, 'the poll is parked');
      await add('ours');
      expect(docs(await waiting)).toEqual(['ours']);

      const second = lease({ wait_seconds: 20 });
      await until(() => app.get(QueueService)['parking'].parked > 0, 'the poll is parked');
      await app.state.rpush(list, JSON.stringify({ project_id: owner.projectId, ...task('theirs') }));
      expect(docs(await second)).toEqual(['theirs']);
    });

    it('serves many polls in their order, and each job once', async () => {
      await fresh();
      const projectId = owner.projectId as never;
      const polls = Array.from({ length: 30 }, () => queues.lease(projectId, 'embeddings', { waitSeconds: 20 }));
      await until(() => queues['parking'].parked === 30, 'all polls are parked');
      await queues.enqueue(
        projectId,
        'embeddings',
        Array.from({ length: 30 }, (_, i) => ({ task: task(`d${i}`) })),
      );
      const got = (await Promise.all(polls)).flatMap(({ jobs }) =>
        jobs.map((job) => (job.task as { doc_id: string }).doc_id),
      );
      expect(got).toEqual(Array.from({ length: 30 }, (_, i) => `d${i}`));
    });

    it('gives the job of a client that went away back at once, its attempt not counted', async () => {
      await fresh();
      const gone = new AbortController();
      const poll = fetch(`${app.url}${owner.base}${LEASES}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ wait_seconds: 20, lease_seconds: 600 }),
        signal: gone.signal,
      }).catch(() => 'gone');
      await until(() => queues['parking'].parked > 0, 'the poll is parked');
      gone.abort();
      await poll;
      const id = await add('a');
      const [job] = await lease({ wait_seconds: 10 });
      expect(job).toMatchObject({ job_id: id, attempt: 1 });
    });

    it('brings a delayed job when it is due, not before', async () => {
      await fresh();
      const id = await add('later', { delay_seconds: 1 });
      expect(await state(id)).toBe('delayed');
      expect(await lease()).toEqual([]);
      const due = Date.parse((await owner.get(`${JOBS}/${id}`).expect(200)).body.retry_at);
      const [job] = await lease({ wait_seconds: 10 });
      expect(job!.job_id).toBe(id);
      expect(Date.now()).toBeGreaterThanOrEqual(due - 5);
    });
  });

  describe('cancelling', () => {
    it('takes the exact bytes of a waiting job out of the list', async () => {
      await fresh();
      const [a, b] = [await add('a'), await add('b')];
      await owner.delete(`${JOBS}/${a}`).expect(202);
      await owner.delete(`${JOBS}/${a}`).expect(202);
      expect(await app.state.llen(list)).toBe(1);
      expect(await lease({ max: 10 })).toMatchObject([{ job_id: b }]);
      expect(await state(a)).toBe('cancelled');
    });

    it('reaches a running worker at its next extend; its ack is 204 and the state stays', async () => {
      await fresh();
      const id = await add('a');
      const [job] = await lease();
      await owner.delete(`${JOBS}/${id}`).expect(202);
      const { body } = await owner
        .post(`${JOBS}/${id}/extend`)
        .send({ lease_token: job!.lease_token, lease_seconds: 30 })
        .expect(200);
      expect(body.cancelled).toBe(true);
      await owner.post(`${JOBS}/${id}/ack`).send({ lease_token: job!.lease_token }).expect(204);
      expect(await state(id)).toBe('cancelled');
    });

    it('is 409 for a job that is over, and 404 for one that is not known', async () => {
      await fresh();
      const id = await add('a');
      const [job] = await lease();
      await owner.post(`${JOBS}/${id}/ack`).send({ lease_token: job!.lease_token }).expect(204);
      await owner.delete(`${JOBS}/${id}`).expect(409);
      await owner.delete(`${JOBS}/unknown`).expect(404);
    });
  });

  describe('adding', () => {
    it('happens once for an Idempotency-Key, and refuses it with another body', async () => {
      await fresh();
      const send = (doc: string) =>
        owner
          .post(JOBS)
          .set('Idempotency-Key', 'k')
          .send({ task: task(doc) });
      const first = (await send('a').expect(201)).body;
      expect((await send('a').expect(201)).body).toEqual(first);
      expect((await send('b').expect(409)).body.code).toBe('conflict');
      expect(await app.state.llen(list)).toBe(1);
    });

    it('answers the undone job that holds the dedupe key, and a new one when that is over', async () => {
      await fresh();
      const a = await add('a', { dedupe_key: 'same' });
      expect(await add('a', { dedupe_key: 'same' })).toBe(a);
      const [job] = await lease();
      expect(await add('a', { dedupe_key: 'same' })).toBe(a);
      await owner.post(`${JOBS}/${a}/ack`).send({ lease_token: job!.lease_token }).expect(204);
      expect(await add('a', { dedupe_key: 'same' })).not.toBe(a);
    });

    it('reports as the operation it was added with, not as that of a later call with its dedupe key', async () => {
      await fresh();
      await add('a', { dedupe_key: 'same', operation_id: 'first' });
      await add('a', { dedupe_key: 'same', operation_id: 'second' });
      await owner.get('/operations/first').expect(200);
      await owner.get('/operations/second').expect(404);
    });

    it('takes null for what was left out', async () => {
      await fresh();
      await owner
        .post(JOBS)
        .send({ task: task('a'), options: null })
        .expect(201);
      await owner
        .post(JOBS)
        .send({ task: task('b'), options: { delay_seconds: null, dedupe_key: null, operation_id: null } })
        .expect(201);
      await owner.post(LEASES).send({ request_id: null }).expect(200);
    });

    it('adds a batch whole or not at all, and names the job that is wrong', async () => {
      await fresh();
      const jobs = [{ task: task('a') }, { task: { doc_id: 'b:', chunks: 'no' } }];
      const { body } = await owner.post(`${JOBS}/batch`).send({ jobs }).expect(400);
      const fields = new Set(body.errors.map((error: { field: string }) => error.field));
      expect(fields).toEqual(new Set(['jobs.1.task.chunks', 'jobs.1.task.doc_id']));
      const alone = await owner
        .post(`${JOBS}/batch`)
        .send({ jobs: [{ task: { doc_id: 1, chunks: [] } }] })
        .expect(400);
      expect(alone.body.errors[0].field).toBe('jobs.0.task.doc_id');
      expect((await owner.get('/queues/embeddings').expect(200)).body.waiting).toBe(0);
    });

    it('refuses fields that a task does not have, and a project_id of the caller', async () => {
      await fresh();
      const { body } = await owner
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

  describe('an owner', () => {
    it('pauses leasing, not adding, and resumes it for those who wait', async () => {
      await fresh();
      await owner.post('/queues/embeddings/pause').expect(204);
      await add('a');
      expect(await lease()).toEqual([]);
      expect((await owner.get('/queues/embeddings').expect(200)).body).toMatchObject({
        paused: true,
        paused_reason: 'owner',
        waiting: 1,
      });
      const waiting = lease({ wait_seconds: 20 });
      await until(() => queues['parking'].parked > 0, 'the poll is parked');
      await owner.post('/queues/embeddings/resume').expect(204);
      expect(docs(await waiting)).toEqual(['a']);
    });
  });

  describe('the edge', () => {
    it('knows no other queues', async () => {
      await fresh();
      for (const path of ['/queues/other', '/queues/other/dead'])
        expect((await owner.get(path).expect(404)).body.code).toBe('not_found');
      await owner
        .post('/queues/other/jobs')
        .send({ task: task('a') })
        .expect(404);
      await owner.post('/queues/other/leases').send({}).expect(404);
    });

    it('asks for the right role', async () => {
      await fresh();
      const [viewer, editor, worker] = await Promise.all(
        (['viewer', 'editor', 'worker'] as const).map((role) => app.caller(role, owner.projectId)),
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
      await fresh();
      const [done, waiting, held] = [await add('a'), await add('b'), await add('c')];
      const jobs = await lease({ max: 1 });
      await owner.post(`${JOBS}/${done}/ack`).send({ lease_token: jobs[0]!.lease_token, result: 'secret' }).expect(204);
      // As if the sweep had not come to any record yet.
      for (const { feature, hook } of app.get(PurgeRegistry).hooks)
        if (feature === 'queue') await hook(owner.projectId as never);
      for (const id of [done, waiting, held]) {
        await owner.get(`${JOBS}/${id}`).expect(404);
        await owner.delete(`${JOBS}/${id}`).expect(404);
      }
      const again = await add('b');
      expect((await owner.get('/queues/embeddings').expect(200)).body).toMatchObject({
        waiting: 1,
        leased: 0,
        dead: 0,
      });
      expect(await lease({ max: 10 })).toMatchObject([{ job_id: again }]);
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
      await fresh();
      const { body } = await owner
        .post(LEASES)
        .send({ max: 11, lease_seconds: 0, wait_seconds: 26, request_id: 'a b' })
        .expect(400);
      expect(body.errors.map((error: { field: string }) => error.field).sort()).toEqual([
        'lease_seconds',
        'max',
        'request_id',
        'wait_seconds',
      ]);
      const { body: options } = await owner
        .post(JOBS)
        .send({ task: task('a'), options: { max_attempts: 0, delay_seconds: -1 } })
        .expect(400);
      expect(options.errors.map((error: { field: string }) => error.field).sort()).toEqual([
        'options.delay_seconds',
        'options.max_attempts',
      ]);
    });

    it('is a conflict of one project alone when a key holds another kind of value', async () => {
      await fresh();
      await app.state.set(list, 'no list', 'EX', 60);
      expect(
        (
          await owner
            .post(JOBS)
            .send({ task: task('a') })
            .expect(409)
        ).body.code,
      ).toBe('conflict');
      await owner.post(LEASES).send({}).expect(409);
      const other = await app.caller('owner');
      await other
        .post(JOBS)
        .send({ task: task('a') })
        .expect(201);
    });

    it('leaves nothing without a TTL when all work is done', async () => {
      await fresh();
      await add('a', { dedupe_key: 'k', operation_id: 'op' });
      for (const job of await lease())
        await owner.post(`${JOBS}/${job.job_id}/ack`).send({ lease_token: job.lease_token }).expect(204);
      for (const key of await app.keysOf(owner.projectId)) expect(await app.state.pttl(key), key).toBeGreaterThan(0);
    });

    it('throws what the contract names, for code as for HTTP', async () => {
      const refusal = await queues.ack(newProject(), 'embeddings', 'none', 'none').catch((error: unknown) => error);
      expect(isAppError(refusal, 'stale_lease')).toBe(true);
    });
  });
});
