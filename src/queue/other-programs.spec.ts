import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { QueueKeys } from './queue.keys.js';

const JOBS = '/queues/embeddings/jobs';
const LEASES = '/queues/embeddings/leases';

describe('a queue that others use with plain commands', () => {
  let app: TestApp;
  let owner: Caller;
  let list: string;
  beforeAll(async () => {
    app = await TestApp.start({ env: { QUEUE_MAX_BYTES: '2000' } });
  });
  afterAll(() => app.close());
  beforeEach(async () => {
    owner = await app.caller('owner');
    list = app.get(QueueKeys).list(owner.projectId as ProjectId, 'embeddings');
  });

  const add = (doc_id: string, options: object = {}) =>
    owner.post(JOBS).send({ task: { doc_id, chunks: ['x'.repeat(100)] }, options });
  const foreign = (fields: object): string =>
    JSON.stringify({ project_id: owner.projectId, doc_id: 'f', chunks: [], ...fields });
  const lease = async (options: object = {}): Promise<{ job_id: string; task: { doc_id: string } }[]> =>
    (await owner.post(LEASES).send(options)).body.jobs ?? [];
  const counts = async (): Promise<Record<string, number>> => (await owner.get('/queues/embeddings').expect(200)).body;

  it('never fills up with the bytes of jobs that they only pop', async () => {
    for (let i = 0; i < 40; i += 1) {
      await add(`d${i}`, { dedupe_key: 'same' }).expect(201);
      expect(await app.state.lpop(list)).toContain(`"d${i}"`);
    }
    expect(await counts()).toMatchObject({ waiting: 0, bytes: 0 });
  });

  it('puts away whatever nobody can work on in one go, and leases what stands behind it', async () => {
    await app.state.rpush(list, ...Array.from({ length: 40 }, (_, i) => (i % 2 ? 'nonsense' : foreign({ chunks: 1 }))));
    await app.state.rpush(list, foreign({ doc_id: 'good' }));
    expect(await lease()).toMatchObject([{ task: { doc_id: 'good' } }]);
    expect(await counts()).toMatchObject({ waiting: 0, leased: 1, dead: 40 });
  });

  it('is not stopped by what only Lua takes for JSON, such as the NaN that Python writes', async () => {
    await app.state.rpush(list, `{"project_id":"${owner.projectId}","doc_id":"f","chunks":[],"score":NaN}`);
    await app.state.rpush(list, foreign({ doc_id: 'good' }));
    expect(await lease({ max: 10 })).toMatchObject([{ task: { doc_id: 'good' } }]);
    expect((await owner.get('/queues/embeddings/dead').expect(200)).body.items).toMatchObject([
      { error: 'unreadable: not JSON' },
    ]);
  });

  it('buries nobody else when a job is cancelled whose bytes were popped, and a twin of it waits', async () => {
    const raw = foreign({ doc_id: 'stranger' });
    const popped: string = (await add('same').expect(201)).body.job_id;
    await app.state.rpush(list, raw);
    const between: string = (await add('between').expect(201)).body.job_id;
    const twin: string = (await add('same').expect(201)).body.job_id;
    await app.state.lpop(list);
    await owner.delete(`${JOBS}/${popped}`).expect(202);
    expect(await lease()).toMatchObject([{ task: { doc_id: 'stranger' } }]);
    // Equal bytes are interchangeable: what was popped is the twin now, and the cancelled job left the list.
    expect((await owner.get(`${JOBS}/${twin}`)).body.state).toBe('taken');
    expect(await lease()).toMatchObject([{ job_id: between }]);
  });

  it('takes a project_id in upper case for what it is', async () => {
    await app.state.rpush(list, foreign({ project_id: owner.projectId.toUpperCase() }));
    expect(await lease()).toHaveLength(1);
  });

  it('serves a task of ours although its record is gone, as a purge that is under way leaves it', async () => {
    const { job_id } = (await add('d').expect(201)).body;
    await app.state.del(`${list}:job:${job_id}`);
    expect(await lease()).toMatchObject([{ task: { doc_id: 'd' } }]);
  });

  it('keeps the order of jobs when the clock has stepped back', async () => {
    const first: string = (await add('first').expect(201)).body.job_id;
    // It waits since tomorrow: the clock was ahead then. Orders are a double behind state, attempts and their maximum.
    const record = `${list}:job:${first}`;
    const ahead = Buffer.alloc(8);
    ahead.writeDoubleLE((Date.now() + 86_400_000) * 1000);
    await app.state.setrange(record, 3, ahead);
    const { job_id } = (await add('later', { delay_seconds: 0.001 }).expect(201)).body;
    await until(async () => (await owner.get(`${JOBS}/${job_id}`)).body.state === 'waiting', 'the delayed job is due');
    expect((await lease({ max: 2 })).map((job) => job.job_id)).toEqual([first, job_id]);
    expect((await owner.get(`${JOBS}/${job_id}`)).body.state).toBe('leased');
  });
});
