import { Inject, Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { type JobHandler, QueueConsumer } from '../../src/queue/queue-consumer.decorator.js';
import { QueueModule } from '../../src/queue/queue.module.js';
import { QueueService } from '../../src/queue/queue.service.js';
import type { LeasedJob } from '../../src/queue/queue.types.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

const done: string[] = [];

@Injectable()
@QueueConsumer('embeddings', { concurrency: 4, leaseSeconds: 2 })
class Consumer implements JobHandler {
  constructor(@Inject(QueueService) readonly queues: QueueService) {}
  async handle(_projectId: ProjectId, job: LeasedJob): Promise<void> {
    done.push(String(job.task['doc_id']));
  }
}

@Module({ imports: [QueueModule], providers: [Consumer] })
class ConsumerModule {}

/** One process that consumes, with a proxy between it and its Redis; never restarted. */
describe('consumption goes on by itself', () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let proxy: TcpProxy;
  let app: TestApp;
  const projectId = newProject();
  let pushed = 0;
  beforeAll(async () => {
    redis = await ownRedis('state');
    proxy = await TcpProxy.to(redis.port);
    const state = { appUrl: proxy.through(redis.appUrl), adminUrl: redis.adminUrl };
    app = await TestApp.start({ servers: { state }, extensions: [ConsumerModule] });
    // Heard of once: from then on the sweep knows it.
    await app.state.publish(app.keys.key(projectId, 'queue', 'embeddings', 'wake'), '');
    await consumes();
  });
  afterAll(async () => {
    await app.close();
    await proxy[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  const push = async (): Promise<string> => {
    const doc_id = `d${(pushed += 1)}`;
    const list = app.keys.key(projectId, 'queue', 'embeddings');
    await app.state.rpush(list, JSON.stringify({ project_id: projectId, doc_id, chunks: [] }));
    return doc_id;
  };
  /** Pushed by another program, so that nothing but the consumer itself finds it. */
  const consumes = async (): Promise<void> => {
    const doc = await push();
    await until(() => done.includes(doc), `${doc} is consumed`);
  };
  const health = async (): Promise<number> => (await app.anonymous.get('/health/ready')).status;

  it('after Redis was down, without losing what waited; health tells the truth meanwhile', async () => {
    const doc = await push();
    await redis.stop();
    await until(async () => (await health()) === 503, 'it is not ready');
    await redis.restart();
    await until(() => done.includes(doc), 'what waited is consumed');
    await until(async () => (await health()) === 200, 'it is ready');
    await consumes();
  });

  it('when its connections are killed, again and again', async () => {
    for (let i = 0; i < 5; i += 1) {
      await app.state.client('KILL', 'USER', 'api');
      await consumes();
    }
  });

  it('after a link that swallowed every byte and closed nothing', async () => {
    const before = proxy.accepted;
    proxy.swallow = true;
    await until(async () => (await health()) === 503, 'it noticed');
    const doc = await push();
    await until(() => proxy.accepted > before, 'it connects anew');
    proxy.swallow = false;
    await until(() => done.includes(doc), 'what was pushed meanwhile is consumed');
    await consumes();
  });

  it('when the scripts are flushed', async () => {
    await app.state.script('FLUSH');
    await consumes();
  });

  it('on a full server: what waits is worked off', async () => {
    const docs = [await push(), await push(), await push()];
    await app.state.config('SET', 'maxmemory', '1mb');
    try {
      await until(() => docs.every((doc) => done.includes(doc)), 'they are consumed');
      const { leased } = await app.get(QueueService).counts(projectId, 'embeddings');
      expect(leased).toBeLessThanOrEqual(3);
    } finally {
      await app.state.config('SET', 'maxmemory', '0');
    }
    await until(async () => {
      const { waiting, leased } = await app.get(QueueService).counts(projectId, 'embeddings');
      return waiting + leased === 0;
    });
  });

  it('did every job it was given', () => {
    expect(new Set(done).size).toBe(pushed);
  });
});
