import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { type JobHandler, QueueConsumer } from '../../src/queue/queue-consumer.decorator.js';
import { QueueModule } from '../../src/queue/queue.module.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { QueueService } from '../../src/queue/queue.service.js';
import type { LeasedJob } from '../../src/queue/queue.types.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { figure } from '../support/scale.js';
import { size } from './size.js';

const LONGEST = size('SOAK_DOWN_SECONDS', 60);
const done = new Map<string, number>();
let runs = 0;

@Injectable()
@QueueConsumer('embeddings', { concurrency: 4, leaseSeconds: 2 })
class Consumer implements JobHandler {
  constructor(@Inject(QueueService) readonly queues: QueueService) {}
  async handle(_projectId: ProjectId, job: LeasedJob): Promise<void> {
    runs += 1;
    await pause(5);
    done.set(String(job.task['doc_id']), performance.now());
  }
}

@Module({ imports: [QueueModule], providers: [Consumer] })
class ConsumerModule {}

/** One process that consumes, with a proxy between it and its Redis; never restarted. */
describe('outages of Redis', { timeout: 600_000 }, () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let proxy: TcpProxy;
  let app: TestApp;
  const projectId = newProject();
  const pushed: string[] = [];
  const unhandled: unknown[] = [];
  const remember = (reason: unknown): void => void unhandled.push(reason);
  beforeAll(async () => {
    process.on('unhandledRejection', remember);
    redis = await ownRedis('state');
    proxy = await TcpProxy.to(redis.port);
    const state = { appUrl: proxy.through(redis.appUrl), adminUrl: redis.adminUrl };
    app = await TestApp.start({ servers: { state }, extensions: [ConsumerModule] });
    await app.state.publish(app.keys.key(projectId, 'queue', 'embeddings', 'wake'), '');
    await consumed(await push(20));
  });
  afterAll(async () => {
    process.off('unhandledRejection', remember);
    await app.close();
    await proxy[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  /** By another program, so that nothing but the consumer itself finds them. */
  const push = async (count: number): Promise<string[]> => {
    const docs = Array.from({ length: count }, (_, i) => `d${pushed.length + i}`);
    const list = app.keys.key(projectId, 'queue', 'embeddings');
    const items = docs.map((doc_id) => JSON.stringify({ project_id: projectId, doc_id, chunks: [] }));
    await app.state.rpush(list, ...items);
    pushed.push(...docs);
    return docs;
  };
  const consumed = (docs: string[]) => until(() => docs.every((doc) => done.has(doc)), 'they are consumed', 30_000);
  const health = async (): Promise<number> => (await app.anonymous.get('/health/ready')).status;
  /** Milliseconds from recovery to the first job done and to the last. */
  const recovery = async (docs: string[], from: number): Promise<string> => {
    await consumed(docs);
    // Not those that were done before it went away.
    const times = docs.map((doc) => done.get(doc)! - from).filter((ms) => ms > 0);
    const first = Math.min(...times);
    expect(first).toBeLessThanOrEqual(2000);
    await until(async () => (await health()) === 200, 'it is ready');
    return `first job after ${first.toFixed(0)} ms, all ${times.length} after ${Math.max(...times).toFixed(0)} ms`;
  };

  it.each([1, 10, LONGEST])('down for %i s', async (seconds) => {
    // Some of them are in work when it goes down.
    const docs = await push(50);
    await redis.stop();
    const end = performance.now() + seconds * 1000;
    await until(async () => (await health()) === 503, 'it is not ready');
    let looks = 0;
    while (performance.now() < end) {
      expect(await health()).toBe(503);
      looks += 1;
      await pause(100);
    }
    await redis.restart();
    figure(
      `down for ${seconds} s, 503 in all ${looks} looks at its health; ${await recovery(docs, performance.now())}`,
    );
  });

  it('half-open: ten seconds in which the link swallows every byte', async () => {
    proxy.swallow = true;
    const docs = await push(50);
    await until(async () => (await health()) === 503, 'it noticed');
    await pause(10_000);
    expect(await health()).toBe(503);
    proxy.swallow = false;
    figure(`half-open for 10 s; ${await recovery(docs, performance.now())}`);
  });

  it('CLIENT KILL each second, twenty times', async () => {
    const before = runs;
    const docs: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      docs.push(...(await push(20)));
      await app.state.client('KILL', 'USER', 'api');
      await pause(1000);
    }
    await consumed(docs);
    figure(`20 × CLIENT KILL: ${docs.length} jobs done in ${runs - before} runs`);
  });

  it('SCRIPT FLUSH, a hundred times among a thousand jobs', async () => {
    const before = runs;
    const docs: string[] = [];
    for (let i = 0; i < 100; i += 1) {
      docs.push(...(await push(10)));
      await app.state.script('FLUSH');
    }
    await consumed(docs);
    expect(runs - before).toBe(docs.length);
    figure(`100 × SCRIPT FLUSH: ${docs.length} jobs done in as many runs`);
  });

  it('a full server: lease, ack and nack go on, and what waits is worked off', async () => {
    const docs = await push(500);
    await app.state.config('SET', 'maxmemory', '1mb');
    try {
      const queues = app.get(QueueService);
      const leasing = app.get(LeaseService);
      const [job] = (await leasing.lease(projectId, 'embeddings')).jobs;
      if (job)
        await leasing.nack(projectId, 'embeddings', job.jobId, job.leaseToken, { error: 'x', retryInSeconds: 0 });
      await consumed(docs);
      await expect(
        queues.enqueue(projectId, 'embeddings', [{ task: { doc_id: 'd', chunks: [] } }]),
      ).rejects.toMatchObject({
        code: 'storage_full',
      });
      await until(async () => {
        const { waiting, leased, delayed } = await queues.counts(projectId, 'embeddings');
        return waiting + leased + delayed === 0;
      }, 'every ack has arrived');
    } finally {
      await app.state.config('SET', 'maxmemory', '0');
    }
    figure(`full server: ${docs.length} jobs worked off`);
  });

  it('lost nothing and left no rejection unhandled', () => {
    expect(pushed.filter((doc) => !done.has(doc))).toEqual([]);
    expect(unhandled).toEqual([]);
    figure(`over all outages ${pushed.length} jobs done in ${runs} runs`);
  });
});
