import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { ConsumerProcess } from './consumer-process.js';

/** The consumer is a process of its own, whose handler blocks the event loop; this one competes with it for the queue. */
describe('a handler that blocks the event loop', () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  let queues: QueueService;
  let leasing: LeaseService;
  beforeAll(async () => {
    redis = await ownRedis();
    app = await TestApp.start({ servers: { state: redis } });
    queues = app.get(QueueService);
    leasing = app.get(LeaseService);
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
  });

  const add = async (projectId: ProjectId): Promise<string> => {
    const [job] = await queues.enqueue(projectId, 'embeddings', [{ task: { doc_id: 'd', chunks: [] } }]);
    return job!.jobId;
  };
  const compete = async (projectId: ProjectId) => (await leasing.lease(projectId, 'embeddings')).jobs[0];
  const busy = async (projectId: ProjectId): Promise<{ consumer: ConsumerProcess; jobId: string }> => {
    const consumer = new ConsumerProcess(redis.appUrl, { HOLD: '1' });
    await consumer.says('ready');
    const jobId = await add(projectId);
    await consumer.says(`start ${jobId} 1`);
    return { consumer, jobId };
  };

  it('keeps its job for as long as it works, whoever asks for it, and its ack counts', async () => {
    const projectId = newProject();
    const { consumer: working, jobId } = await busy(projectId);
    await using consumer = working;
    const look = () => queues.job(projectId, 'embeddings', jobId);
    const first = (await look()).leaseExpiresAt!;
    await until(async () => {
      expect(await compete(projectId)).toBeUndefined();
      return ((await look()).leaseExpiresAt ?? 0) > first + 2000;
    }, 'two leases have passed');
    consumer.goOn();
    await until(async () => {
      expect(await compete(projectId)).toBeUndefined();
      return (await look()).state === 'done';
    }, 'it is done');
    expect(await look()).toMatchObject({ attempts: 1 });
    expect(consumer.lines).toEqual(['ready', `start ${jobId} 1`, `end ${jobId} 1 held`]);
    consumer.signal('SIGTERM');
    expect(await consumer.exited).toBe(0);
  });

  it('loses its job when its process is killed', async () => {
    const projectId = newProject();
    const { consumer: working, jobId } = await busy(projectId);
    await using consumer = working;
    consumer.signal('SIGKILL');
    const again = await until(() => compete(projectId), 'the job comes back');
    expect(again).toMatchObject({ jobId, attempt: 2 });
  });

  it('loses its job when its process stands still, and learns it as soon as it looks', async () => {
    const projectId = newProject();
    const { consumer: working, jobId } = await busy(projectId);
    await using consumer = working;
    consumer.signal('SIGSTOP');
    const again = await until(() => compete(projectId), 'the job comes back');
    expect(again).toMatchObject({ jobId, attempt: 2 });
    consumer.signal('SIGCONT');
    // The thread asks, and is told that the lease is another's.
    await leasing.ack(projectId, 'embeddings', jobId, again.leaseToken);
    consumer.goOn();
    await until(() => consumer.lines.some((line) => line.startsWith(`end ${jobId} 1`)), 'the handler is through');
    expect(await queues.job(projectId, 'embeddings', jobId)).toMatchObject({ state: 'done', attempts: 2 });
    expect((await queues.job(projectId, 'embeddings', jobId)).result).toBeUndefined();
  });
});
