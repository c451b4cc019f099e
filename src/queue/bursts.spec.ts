import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProjectId } from '../common/project-id.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { QueueKeys } from './queue.keys.js';
import { LeaseService } from './lease.service.js';
import { QueueService } from './queue.service.js';

const QUEUE = 'embeddings';
const BURST = Array.from({ length: 11 }, (_, i) => i);

/** Calls of one turn share scripts; nobody may notice. */
describe('a burst of calls on one queue', () => {
  let app: TestApp;
  let queues: QueueService;
  let leasing: LeaseService;
  let projectId: ProjectId;
  beforeAll(async () => {
    app = await TestApp.start({ env: { QUEUE_MAX_JOBS: '14', QUEUE_MAX_LEASED: '12' } });
    queues = app.get(QueueService);
    leasing = app.get(LeaseService);
  });
  afterAll(() => app.close());
  beforeEach(() => {
    projectId = newProject();
  });

  const task = (name: string | number) => ({ doc_id: `d${name}`, chunks: [] });
  const add = (name: string | number, length = 1) =>
    queues.enqueue(
      projectId,
      QUEUE,
      Array.from({ length }, () => ({ task: task(name) })),
    );
  const list = async () =>
    (await app.state.lrange(app.get(QueueKeys).list(projectId, QUEUE), 0, -1)).map(
      (raw) => (JSON.parse(raw) as { doc_id: string }).doc_id,
    );

  it('adds in the order of the calls', async () => {
    await Promise.all(BURST.map((i) => add(i)));
    expect(await list()).toEqual(BURST.map((i) => `d${i}`));
  });

  it('lets in what there is room for: all of a call or none', async () => {
    const outcomes = await Promise.allSettled([add('a', 9), add('b', 6), add('c', 3), add('d', 3), add('e', 2)]);
    expect(
      outcomes.map((each) => (each.status === 'rejected' ? (each.reason as { code: string }).code : 'added')),
    ).toEqual(['added', 'queue_full', 'added', 'queue_full', 'added']);
    expect(await list()).toHaveLength(14);
  });

  it('leases the next for each that held its job, and each job once', async () => {
    await Promise.all(BURST.map((i) => add(i)));
    const { jobs } = await leasing.lease(projectId, QUEUE, { max: 5 });
    const stale = { ...jobs[2]!, leaseToken: 'not this one' };
    const outcomes = await Promise.allSettled(
      [jobs[0]!, jobs[1]!, stale, jobs[3]!, jobs[4]!].map((job) => leasing.ackAndLease(projectId, QUEUE, job)),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    const next = outcomes.flatMap((each) => (each.status === 'fulfilled' ? each.value.jobs : []));
    expect(next.map((job) => job.task['doc_id'])).toEqual(['d5', 'd6', 'd7', 'd8']);
    expect(await queues.counts(projectId, QUEUE)).toMatchObject({ waiting: 2, leased: 5 });
  });

  it('fences every job by itself: the token of one ends none of the others', async () => {
    await Promise.all(BURST.map((i) => add(i)));
    const { jobs } = await leasing.lease(projectId, QUEUE, { max: 4 });
    const cycles = await Promise.all(jobs.map((job) => leasing.ackAndLease(projectId, QUEUE, job)));
    for (const held of [jobs, cycles.flatMap((lease) => lease.jobs)]) {
      expect(held).toHaveLength(4);
      expect(new Set(held.map((job) => job.leaseToken)).size).toBe(4);
    }
    const [one, other] = cycles.map((lease) => lease.jobs[0]!);
    const wrong = [projectId, QUEUE, other!.jobId, one!.leaseToken] as const;
    for (const call of [
      () => leasing.ack(...wrong),
      () => leasing.nack(...wrong, { error: 'x' }),
      () => leasing.extend(...wrong, 30),
      () => leasing.ackAndLease(projectId, QUEUE, { jobId: other!.jobId, leaseToken: one!.leaseToken }),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'stale_lease' });
    await leasing.release(projectId, QUEUE, {
      jobs: [{ ...other!, leaseToken: one!.leaseToken }],
      nonce: 0,
      weight: 1,
    });
    expect(await queues.job(projectId, QUEUE, other!.jobId)).toMatchObject({ state: 'leased' });
    await leasing.ack(projectId, QUEUE, other!.jobId, other!.leaseToken);
  });

  it('gives nobody more than there is', async () => {
    await Promise.all(BURST.slice(0, 6).map((i) => add(i)));
    const { jobs } = await leasing.lease(projectId, QUEUE, { max: 4 });
    const leases = await Promise.all(jobs.map((job) => leasing.ackAndLease(projectId, QUEUE, job)));
    expect(leases.map((lease) => lease.jobs.length)).toEqual([1, 1, 0, 0]);
    expect(await queues.counts(projectId, QUEUE)).toMatchObject({ waiting: 0, leased: 2 });
  });

  it('goes on where others push and pop between our jobs', async () => {
    const key = app.get(QueueKeys).list(projectId, QUEUE);
    for (const i of [0, 1, 2, 3]) {
      await add(i);
      await app.state.rpush(key, JSON.stringify({ project_id: projectId, ...task(`${i}-theirs`) }));
    }
    await app.state.lpop(key);
    const { jobs } = await leasing.lease(projectId, QUEUE, { max: 3 });
    const leases = await Promise.all(jobs.map((job) => leasing.ackAndLease(projectId, QUEUE, job)));
    expect([{ jobs }, ...leases].flatMap((lease) => lease.jobs.map((job) => job.task['doc_id']))).toEqual([
      'd0-theirs',
      'd1',
      'd1-theirs',
      'd2',
      'd2-theirs',
      'd3',
    ]);
    expect(await queues.counts(projectId, QUEUE)).toMatchObject({ waiting: 1, leased: 3 });
  });

  it('ends each job with its own result, the long bytes with it', async () => {
    const long = { doc_id: 'long', chunks: ['x'.repeat(5000)] };
    const added = await queues.enqueue(projectId, QUEUE, [{ task: task('short') }, { task: long }, { task: long }]);
    const { jobs } = await leasing.lease(projectId, QUEUE, { max: 3 });
    expect(jobs.map((job) => job.task['chunks'])).toEqual([[], long.chunks, long.chunks]);
    await Promise.all(jobs.map((job, i) => leasing.ack(projectId, QUEUE, job.jobId, job.leaseToken, { i })));
    for (const [i, { jobId }] of added.entries())
      expect(await queues.job(projectId, QUEUE, jobId)).toMatchObject({ state: 'done', result: { i } });
    expect((await app.keysOf(projectId)).filter((key) => key.endsWith(':raw'))).toEqual([]);
  });
});
