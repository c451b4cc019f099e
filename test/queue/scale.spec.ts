import { Inject, Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_POLLS } from '../../src/queue/parking.js';
import { type JobHandler, QueueConsumer } from '../../src/queue/queue-consumer.decorator.js';
import { QueueModule } from '../../src/queue/queue.module.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { Parking } from '../../src/queue/parking.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';

const PROJECTS = 10_000;
const handled = new Set<string>();

@Injectable()
@QueueConsumer('embeddings', { concurrency: 8 })
class Consumer implements JobHandler {
  constructor(@Inject(QueueService) readonly queues: QueueService) {}
  async handle(projectId: string): Promise<void> {
    handled.add(projectId);
  }
}

@Module({ imports: [QueueModule], providers: [Consumer] })
class ConsumerModule {}

describe('ten thousand projects and a thousand polls that wait', () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  beforeAll(async () => {
    redis = await ownRedis('state');
    app = await TestApp.start({ servers: { state: redis }, extensions: [ConsumerModule] });
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
  });

  const connections = async (): Promise<number> =>
    String(await app.state.client('LIST'))
      .split('\n')
      .filter((line) => line.includes(' user=api ')).length;

  it('need no connection and no blocking command more, and any of the projects is served', async () => {
    const before = await connections();
    expect(before).toBeLessThanOrEqual(6);
    const names = new Set<string>();
    const monitor = await app.state.duplicate().monitor();
    monitor.on('monitor', (_time: string, [name]: string[]) => names.add(String(name).toLowerCase()));

    const list = (projectId: string): string => app.keys.key(projectId as never, 'queue', 'embeddings');
    const push = (projectId: string) =>
      app.state.rpush(list(projectId), JSON.stringify({ project_id: projectId, doc_id: 'd', chunks: [] }));
    const projects = Array.from({ length: PROJECTS }, newProject);
    for (let i = 0; i < PROJECTS; i += 500)
      await Promise.all(
        projects.slice(i, i + 500).map((projectId) => app.state.publish(`${list(projectId)}:wake`, '')),
      );
    const parking = app.get(Parking);
    const leasing = app.get(LeaseService);
    const over = new AbortController();
    const polls: Promise<unknown>[] = [];
    for (const projectId of projects.slice(0, 1000)) {
      polls.push(leasing.lease(projectId, 'embeddings', { waitSeconds: 25, signal: over.signal }));
      if (polls.length % 50 === 0) await until(() => parking.parked === polls.length, 'the polls are parked');
    }
    expect(await connections()).toBe(before);

    // A known project gets its work by the sweep, though nobody said a word.
    await push(projects[5000]!);
    await until(() => handled.has(projects[5000]!), 'it is served');
    const stranger = newProject();
    await push(stranger);
    await until(() => handled.has(stranger), 'one never seen is found', 60_000);
    expect(await connections()).toBe(before);
    over.abort();
    await Promise.all(polls);
    monitor.disconnect();
    expect(names.size).toBeGreaterThan(3);
    expect([...names].filter((name) => /^(b[lrz]|wait|xread)/.test(name))).toEqual([]);
  }, 90_000);

  it('are bounded for each project', async () => {
    const parking = app.get(Parking);
    const leasing = app.get(LeaseService);
    const projectId = newProject();
    const over = new AbortController();
    const wait = () => leasing.lease(projectId, 'embeddings', { waitSeconds: 25, signal: over.signal });
    const polls: Promise<unknown>[] = [];
    while (polls.length < MAX_POLLS) {
      polls.push(wait());
      if (polls.length % 50 === 0) await until(() => parking.parked === polls.length, 'the polls are parked');
    }
    await expect(wait()).rejects.toMatchObject({ code: 'too_many_connections' });
    over.abort();
    await Promise.all(polls);
  });
});
