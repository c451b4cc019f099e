import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { ownRedis } from '../../../test/support/own-redis.js';
import { newProject } from '../../../test/support/projects.js';
import { until } from '../../../test/support/until.js';
import { LeaseService } from '../lease.service.js';
import { QueueService } from '../queue.service.js';
import { LeaseKeeper } from './lease-keeper.js';
import type { Loss } from './messages.js';

describe('the thread that keeps leases', () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  let queues: QueueService;
  let leasing: LeaseService;
  let keeper: LeaseKeeper;
  let thread: Worker;
  beforeAll(async () => {
    redis = await ownRedis();
    app = await TestApp.start({ servers: { state: redis } });
    queues = app.get(QueueService);
    leasing = app.get(LeaseService);
    keeper = app.get(LeaseKeeper);
    process.once('worker', (worker) => (thread = worker));
    await keeper.start();
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
  });

  /** A job that this process has leased, and keeps. */
  const held = async ({ leaseSeconds = 1, maxHoldMs = 60_000 } = {}) => {
    const projectId = newProject();
    await queues.enqueue(projectId, 'embeddings', [{ task: { doc_id: 'd', chunks: [] } }]);
    const [job] = (await leasing.lease(projectId, 'embeddings', { leaseSeconds })).jobs;
    const losses: Loss[] = [];
    const leaseMs = leaseSeconds * 1000;
    const drop = keeper.hold(projectId, 'embeddings', job!, { leaseMs, maxHoldMs }, (why) => losses.push(why));
    const look = () => queues.job(projectId, 'embeddings', job!.jobId);
    const renewed = (pastMs: number, from = job!.expiresAt) =>
      until(async () => ((await look()).leaseExpiresAt ?? 0) > from + pastMs, 'the lease is renewed');
    return { projectId, job: job!, losses, drop: drop!, look, renewed };
  };

  it('renews until it is told that the job ended', async () => {
    const { losses, drop, look, renewed } = await held();
    await renewed(1500);
    drop();
    await until(async () => (await look()).state === 'waiting', 'the lease is over');
    expect(losses).toEqual([]);
  });

  it('renews no longer than it may, and says so', async () => {
    const { losses, look } = await held({ maxHoldMs: 1200 });
    await until(() => losses.length > 0, 'it says so');
    expect(losses).toEqual(['too_long']);
    await until(async () => (await look()).state === 'waiting', 'the job comes back');
  });

  it('says that the job was cancelled, or is somebody else’s', async () => {
    const [cancelled, stale] = [await held(), await held()];
    await queues.cancel(cancelled.projectId, 'embeddings', cancelled.job.jobId);
    await leasing.nack(stale.projectId, 'embeddings', stale.job.jobId, stale.job.leaseToken, { error: 'x' });
    await until(() => cancelled.losses.length + stale.losses.length === 2, 'it says so');
    expect([cancelled.losses, stale.losses]).toEqual([['cancelled'], ['stale']]);
  });

  it('says in time that Redis does not answer, and goes on when it does', async () => {
    const { losses } = await held();
    await redis.freeze();
    await until(() => losses.length > 0, 'it says so');
    expect(losses).toEqual(['unreachable']);
    await redis.thaw();
    const next = await until(() => held().catch(() => undefined), 'Redis is back');
    await next.renewed(1500);
    next.drop();
  });

  it('is replaced when it fails, and what is held stays held', async () => {
    const { losses, drop, renewed, look } = await held({ leaseSeconds: 20 });
    await renewed(0);
    const ended = thread;
    process.once('worker', (worker) => (thread = worker));
    await ended.terminate();
    await until(() => thread !== ended, 'there is another');
    await renewed(0, (await look()).leaseExpiresAt);
    expect(losses).toEqual([]);
    drop();
  });

  it('does not take up a lease that is over', async () => {
    const { projectId, job, drop, look } = await held();
    drop();
    await until(async () => (await look()).state === 'waiting', 'the lease is over');
    const again = keeper.hold(projectId, 'embeddings', job, { leaseMs: 1000, maxHoldMs: 1000 }, () => undefined);
    expect(again).toBeUndefined();
  });
});
