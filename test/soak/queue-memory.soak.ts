import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { TestApp } from '../support/app.js';
import { Clock } from '../support/clock.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { figure } from '../support/scale.js';
import { size } from './size.js';

const PROJECTS = size('SOAK_PROJECTS', 10_000);
const JOBS = size('SOAK_JOBS', 1_000_000);
const AT_ONCE = 32;
const HISTORY_MS = 3_600_000;
const HOUR = 3_600_000;

describe('the memory of Redis', () => {
  const clock = new Clock('realtime');
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  let queues: QueueService;
  let leasing: LeaseService;
  beforeAll(async () => {
    redis = await ownRedis('single', clock.env);
    app = await TestApp.start({ servers: { state: redis } });
    queues = app.get(QueueService);
    leasing = app.get(LeaseService);
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
    clock[Symbol.dispose]();
  });

  const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await app.state.info('memory'))![1]);

  /** All jobs of a project, from enqueue to ack. */
  const work = async (projectId: ProjectId, jobs: number): Promise<void> => {
    for (let left = jobs; left > 0; left -= 100) {
      const batch = Array.from({ length: Math.min(left, 100) }, (_, i) => ({
        task: { doc_id: `d${i}`, chunks: ['x'.repeat(150)] },
        dedupeKey: `k${i}`,
      }));
      await queues.enqueue(projectId, 'embeddings', batch);
    }
    for (;;) {
      const lease = await leasing.lease(projectId, 'embeddings', { max: 10, leaseSeconds: 600 });
      if (lease.jobs.length === 0) return;
      await leasing.ackBatch(projectId, 'embeddings', lease.jobs);
    }
  };
  const round = async (projects: number, jobs: number): Promise<void> => {
    let left = projects;
    const one = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await work(newProject(), jobs);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  };
  const forget = async (): Promise<void> => {
    clock.step(HISTORY_MS + 600_000);
    await until(async () => (await app.state.dbsize()) === 0, 'all has expired', HOUR);
  };

  it('is back after all work is done and its history is over, and no key is for ever', { timeout: HOUR }, async () => {
    await round(AT_ONCE, 100);
    await forget();
    const before = await used();
    const began = performance.now();
    await round(PROJECTS, JOBS / PROJECTS);
    const seconds = (performance.now() - began) / 1000;
    const withHistory = await used();
    const keys = await app.state.dbsize();
    let forever = 0;
    for await (const batch of app.state.scanStream({ count: 1000 })) {
      const found = batch as string[];
      const pipeline = app.state.pipeline();
      for (const key of found) pipeline.pttl(key);
      for (const [, ttl] of (await pipeline.exec()) ?? []) if (Number(ttl) < 0) forever += 1;
    }
    expect(forever).toBe(0);
    await forget();
    // Its tables shrink a little each second.
    const after = await until(
      async () => {
        const now = await used();
        return now <= before * 1.05 ? now : undefined;
      },
      'the memory is back',
      120_000,
    );
    const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
    figure(
      `${JOBS} jobs through ${PROJECTS} projects in ${seconds.toFixed(0)} s (${(JOBS / seconds).toFixed(0)} jobs/s): ${mib(before)} before, ` +
        `${mib(withHistory)} with their history (${keys} keys, ${((withHistory - before) / JOBS).toFixed(0)} B a job), ${mib(after)} after it`,
    );
  });
});
