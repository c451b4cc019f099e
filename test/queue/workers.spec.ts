import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LeaseService } from '../../src/queue/lease.service.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { type Caller, TestApp } from '../support/app.js';
import { until } from '../support/until.js';
import { PullWorker } from './pull-worker.js';

const JOBS = Number(process.env['QUEUE_FAULT_JOBS'] ?? 400);
/** A worker is killed each time so many jobs more are done. */
const KILL_EVERY = 20;

describe('workers in other processes', () => {
  let app: TestApp;
  const workers: PullWorker[] = [];
  beforeAll(async () => {
    app = await TestApp.start({ env: { RATE_LIMITS: '{"api":{"limit":1000000,"window_seconds":60}}' } });
  });
  afterEach(() => {
    for (const worker of workers.splice(0)) worker.signal('SIGKILL');
  });
  afterAll(() => app.close());

  const worker = (owner: Caller, leaseSeconds: number, held = false): PullWorker => {
    const started = new PullWorker(app.url, owner, leaseSeconds, held ? 'held' : undefined);
    workers.push(started);
    return started;
  };

  it('that are killed lose no job; each second start is explained by a killed worker', async () => {
    const queues = app.get(QueueService);
    const owner = await app.caller('owner');
    const projectId = owner.projectId as never;
    const ids: string[] = [];
    for (let i = 0; i < JOBS; i += 100) {
      const batch = Array.from({ length: 100 }, (_, j) => ({
        task: { doc_id: `d${i + j}`, chunks: [] },
        maxAttempts: 100,
      }));
      ids.push(...(await queues.enqueue(projectId, 'embeddings', batch)).map(({ jobId }) => jobId));
    }
    const alive = Array.from({ length: 4 }, () => worker(owner, 1));
    const acks = (): number => workers.reduce((sum, { acked }) => sum + acked.size, 0);
    let kills = 0;
    await until(
      async () => {
        if (acks() >= (kills + 1) * KILL_EVERY) {
          const victim = kills % alive.length;
          alive[victim]!.signal('SIGKILL');
          alive[victim] = worker(owner, 1);
          kills += 1;
        }
        const { waiting, leased, delayed } = await queues.counts(projectId, 'embeddings');
        return waiting + leased + delayed === 0;
      },
      'all work is done',
      60_000,
    );
    expect(kills).toBeGreaterThan(5);
    for (const id of ids) {
      expect((await queues.job(projectId, 'embeddings', id)).state).toBe('done');
      const by = workers.filter(({ started }) => started.includes(id));
      expect(by.filter(({ killed }) => !killed).length).toBeLessThanOrEqual(1);
      // Acked once only, as far as anybody lived to tell.
      expect(by.filter(({ acked }) => acked.get(id) === '204').length).toBeLessThanOrEqual(1);
    }
  }, 90_000);

  it('that are stopped for longer than their lease get 409 for their late ack, which changes nothing', async () => {
    const queues = app.get(QueueService);
    const leasing = app.get(LeaseService);
    const owner = await app.caller('owner');
    const projectId = owner.projectId as never;
    const [job] = await queues.enqueue(projectId, 'embeddings', [{ task: { doc_id: 'd', chunks: [] } }]);
    const stalled = worker(owner, 1, true);
    await until(() => stalled.started.length === 1, 'the worker has the job');
    stalled.signal('SIGSTOP');
    const { jobs } = await until(async () => {
      const lease = await leasing.lease(projectId, 'embeddings', { waitSeconds: 5, leaseSeconds: 60 });
      return lease.jobs.length > 0 ? lease : undefined;
    }, 'the lease is over');
    expect(jobs[0]).toMatchObject({ jobId: job!.jobId, attempt: 2 });
    stalled.signal('SIGCONT');
    stalled.goOn();
    expect(await until(() => stalled.acked.get(job!.jobId), 'its late ack')).toBe('409');
    expect((await queues.job(projectId, 'embeddings', job!.jobId)).state).toBe('leased');
    await leasing.ack(projectId, 'embeddings', job!.jobId, jobs[0]!.leaseToken);
  });
});
