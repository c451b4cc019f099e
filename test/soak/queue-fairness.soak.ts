import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Module } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { type JobHandler, QueueConsumer } from '../../src/queue/queue-consumer.decorator.js';
import { QueueModule } from '../../src/queue/queue.module.js';
import { QueueService } from '../../src/queue/queue.service.js';
import type { LeasedJob } from '../../src/queue/queue.types.js';
import { ConsumerProcess } from '../queue/consumer-process.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { random } from '../support/random.mjs';
import { figure, percentile, SEED } from '../support/scale.js';
import { size } from './size.js';

const FLOOD = size('SOAK_FLOOD_JOBS', 50_000);
const SECONDS = size('SOAK_FAIR_SECONDS', 60);
const SLOTS = 4;
const OTHERS = 9;
const PROCESSES = 3;

interface Start {
  readonly projectId: ProjectId;
  readonly jobId: string;
  readonly at: number;
}
const starts: Start[] = [];
/** Milliseconds of work given to each project. */
const worked = new Map<ProjectId, number>();
let running = 0;
let workMs: (projectId: ProjectId) => number = () => 1;

@Injectable()
@QueueConsumer('embeddings', { concurrency: SLOTS })
class Consumer implements JobHandler {
  constructor(@Inject(QueueService) readonly queues: QueueService) {}
  async handle(projectId: ProjectId, job: LeasedJob): Promise<void> {
    starts.push({ projectId, jobId: job.jobId, at: performance.now() });
    const ms = workMs(projectId);
    running += 1;
    await pause(ms);
    running -= 1;
    worked.set(projectId, (worked.get(projectId) ?? 0) + ms);
  }
}

@Module({ imports: [QueueModule], providers: [Consumer] })
class ConsumerModule {}

describe('fairness', { timeout: 600_000 }, () => {
  const rng = random(SEED);
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  let queues: QueueService;
  let others: ProjectId[];
  beforeAll(async () => {
    redis = await ownRedis();
    app = await TestApp.start({ servers: { state: redis }, extensions: [ConsumerModule] });
    queues = app.get(QueueService);
  });
  beforeEach(() => {
    starts.length = 0;
    worked.clear();
    others = Array.from({ length: OTHERS }, newProject);
  });
  afterEach(async () => {
    // What is left of the floods shall not disturb the next.
    for (const projectId of new Set(starts.map((each) => each.projectId))) {
      const owner = await app.caller('owner', projectId);
      await owner.post('/queues/embeddings/pause').expect(204);
    }
    await until(() => running === 0, 'nothing runs');
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
  });

  const add = async (projectId: ProjectId, count = 1): Promise<string[]> => {
    const ids: string[] = [];
    while (ids.length < count) {
      const batch = Array.from({ length: Math.min(100, count - ids.length) }, () => ({
        task: { doc_id: 'd', chunks: [] },
      }));
      ids.push(...(await queues.enqueue(projectId, 'embeddings', batch)).map(({ jobId }) => jobId));
    }
    return ids;
  };

  it('a newcomer starts within a turn of the others, though one floods the queue', async () => {
    workMs = () => 10;
    const flood = newProject();
    await add(flood, FLOOD);
    await until(() => starts.length > 100, 'the flood is worked on');
    const added: { projectId: ProjectId; after: number }[] = [];
    for (const projectId of others) {
      await add(projectId);
      added.push({ projectId, after: starts.length });
    }
    await until(() => others.every((each) => starts.some(({ projectId }) => projectId === each)), 'each has started');
    const leases = added.map(
      ({ projectId, after }) => starts.findIndex((each) => each.projectId === projectId) - after + 1,
    );
    figure(
      `${FLOOD} jobs of one project, nine others add one each: started after ${Math.max(...leases)} leases at most`,
    );
    // Ready projects × processes + slots.
    expect(Math.max(...leases)).toBeLessThanOrEqual(OTHERS + 1 + SLOTS);
  });

  it('one whose jobs take a second delays the others by one of its jobs at most', async () => {
    const flood = newProject();
    workMs = (projectId) => (projectId === flood ? 1000 : 10);
    const p95 = async (): Promise<number> => {
      const added = new Map<string, number>();
      const end = performance.now() + (SECONDS * 1000) / 2;
      while (performance.now() < end) {
        const at = performance.now();
        const [id] = await add(others[Math.floor(rng() * OTHERS)]!);
        added.set(id!, at);
        await pause(rng() * 40);
      }
      await until(() => {
        const started = new Set(starts.map(({ jobId }) => jobId));
        return [...added.keys()].every((id) => started.has(id));
      }, 'all have started');
      const at = new Map(starts.map((each) => [each.jobId, each.at]));
      return percentile(
        [...added].map(([id, from]) => at.get(id)! - from),
        0.95,
      );
    };
    const alone = await p95();
    await add(flood, 500);
    await until(() => starts.some(({ projectId }) => projectId === flood), 'the flood is worked on');
    const beside = await p95();
    figure(`p95 wait of nine with jobs of 10 ms: ${alone.toFixed(1)} ms, beside jobs of 1 s ${beside.toFixed(0)} ms`);
    expect(beside).toBeLessThanOrEqual(3 * alone + 1000);
  });

  it('equal loads get equal time', async () => {
    workMs = () => 5 + rng() * 45;
    const projects = [newProject(), ...others];
    for (const projectId of projects) await add(projectId, 2000);
    await pause((SECONDS * 1000) / 2);
    const times = projects.map((projectId) => worked.get(projectId) ?? 0);
    const sum = times.reduce((a, b) => a + b, 0);
    const jain = sum ** 2 / (times.length * times.reduce((a, b) => a + b * b, 0));
    figure(`ten equal loads, ${(sum / 1000).toFixed(0)} s of work: Jain index ${jain.toFixed(4)}`);
    expect(jain).toBeGreaterThanOrEqual(0.95);
  });
});

describe('fairness over several processes', { timeout: 600_000 }, () => {
  it('a newcomer starts within ready projects × processes + slots leases', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const queues = app.get(QueueService);
    const env = { CONCURRENCY: String(SLOTS), WORK_MS: '10', LEASE_SECONDS: '30' };
    const consumers = Array.from({ length: PROCESSES }, () => new ConsumerProcess(redis.appUrl, env));
    try {
      await Promise.all(consumers.map((each) => each.says('ready')));
      const flood = newProject();
      for (let i = 0; i < FLOOD; i += 100)
        await queues.enqueue(
          flood,
          'embeddings',
          Array.from({ length: 100 }, () => ({ task: { doc_id: 'd', chunks: [] } })),
        );
      const heard = (): { line: string; at: number }[] =>
        consumers.flatMap(({ said }) => said).filter(({ line }) => line.startsWith('start'));
      const added = new Map<string, number>();
      for (let i = 0; i < OTHERS; i += 1) {
        const at = performance.now();
        const [job] = await queues.enqueue(newProject(), 'embeddings', [{ task: { doc_id: 'd', chunks: [] } }]);
        added.set(`start ${job!.jobId} 1`, at);
      }
      await until(() => [...added.keys()].every((line) => heard().some((each) => each.line === line)), 'each started');
      const all = heard().sort((a, b) => a.at - b.at);
      const leases = [...added].map(
        ([line, from]) => all.findIndex((each) => each.line === line) - all.findIndex(({ at }) => at >= from) + 1,
      );
      const most = (OTHERS + 1) * PROCESSES + PROCESSES * SLOTS;
      figure(
        `the same with ${PROCESSES} processes: started after ${Math.max(...leases)} leases at most; ${most} may be`,
      );
      expect(Math.max(...leases)).toBeLessThanOrEqual(most);
    } finally {
      await Promise.all(consumers.map((each) => each[Symbol.asyncDispose]()));
    }
  });
});
