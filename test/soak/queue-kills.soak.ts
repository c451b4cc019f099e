import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { ConsumerProcess } from '../queue/consumer-process.js';
import { PullWorker } from '../queue/pull-worker.js';
import { type Caller, TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { random } from '../support/random.mjs';
import { figure, percentile, SEED } from '../support/scale.js';
import { size } from './size.js';

const JOBS = size('SOAK_KILL_JOBS', 20_000);
const PROJECTS = 20;
const PROCESSES = 4;
const LEASE_SECONDS = 5;
const HOUR = 3_600_000;

describe('jobs whose workers are killed or stopped', () => {
  const rng = random(SEED);
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  let queues: QueueService;
  beforeAll(async () => {
    redis = await ownRedis();
    const env = { RATE_LIMITS: '{"api":{"limit":10000000,"window_seconds":60}}' };
    app = await TestApp.start({ servers: { state: redis }, env });
    queues = app.get(QueueService);
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
  });

  const fill = async (projectId: ProjectId, jobs: number): Promise<string[]> => {
    const ids: string[] = [];
    while (ids.length < jobs) {
      const count = Math.min(100, jobs - ids.length);
      const batch = Array.from({ length: count }, () => ({ task: { doc_id: 'd', chunks: [] }, maxAttempts: 100 }));
      ids.push(...(await queues.enqueue(projectId, 'embeddings', batch)).map(({ jobId }) => jobId));
    }
    return ids;
  };
  const undone = async (projectId: ProjectId): Promise<number> => {
    const { waiting, leased, delayed } = await queues.counts(projectId, 'embeddings');
    return waiting + leased + delayed;
  };

  it(
    `${JOBS} jobs of ${PROJECTS} projects, ${PROCESSES} processes, kill -9 of any every 2 s`,
    { timeout: HOUR },
    async () => {
      const jobs = new Map<string, ProjectId>();
      for (let i = 0; i < PROJECTS; i += 1) {
        const projectId = newProject();
        for (const id of await fill(projectId, JOBS / PROJECTS)) jobs.set(id, projectId);
      }
      const env = { CONCURRENCY: '8', LEASE_SECONDS: String(LEASE_SECONDS), WORK_MS: '100' };
      const killedAt = new Map<ConsumerProcess, number>();
      const start = (): ConsumerProcess => new ConsumerProcess(redis.appUrl, env);
      const alive = Array.from({ length: PROCESSES }, start);
      const all = [...alive];
      await Promise.all(alive.map((each) => each.says('ready')));
      const began = performance.now();
      let left = JOBS;
      while (left > 0) {
        await pause(2000);
        left = 0;
        for (const projectId of new Set(jobs.values())) left += await undone(projectId);
        if (left === 0) break;
        const victim = Math.floor(rng() * PROCESSES);
        alive[victim]!.signal('SIGKILL');
        killedAt.set(alive[victim]!, performance.now());
        all.push((alive[victim] = start()));
      }
      const seconds = (performance.now() - began) / 1000;
      for (const each of alive) each.signal('SIGTERM');
      await Promise.all(all.map((each) => each.exited));

      // Every start of each job, in the order in which they were heard.
      const starts = new Map<string, { by: ConsumerProcess; at: number; end?: string }[]>();
      for (const by of all)
        for (const { line, at } of by.said) {
          const [what, id, , how] = line.split(' ') as [string, string, string, string];
          if (what === 'start') starts.set(id, [...(starts.get(id) ?? []), { by, at }]);
          if (what === 'end') starts.get(id)!.findLast((each) => each.by === by)!.end = how;
        }
      let again = 0;
      const recoveries: number[] = [];
      for (const [id, projectId] of jobs) {
        expect((await queues.job(projectId, 'embeddings', id)).state).toBe('done');
        const runs = (starts.get(id) ?? []).sort((a, b) => a.at - b.at);
        expect(runs.length).toBeGreaterThan(0);
        again += runs.length - 1;
        for (const [i, run] of runs.entries()) {
          const next = runs[i + 1];
          if (!next) continue;
          // Why it was started again: its worker was killed before its ack was heard.
          expect(killedAt.has(run.by), `${id} was started again`).toBe(true);
          recoveries.push(next.at - killedAt.get(run.by)!);
        }
      }
      const worst = Math.max(0, ...recoveries);
      figure(
        `${JOBS} jobs in ${seconds.toFixed(0)} s, ${killedAt.size} kills: none lost, ${again} started again, each by a kill; ` +
          `started again after ${percentile(recoveries, 0.5).toFixed(0)} ms (median), ${worst.toFixed(0)} ms (worst) with a lease of ${LEASE_SECONDS} s`,
      );
      expect(worst).toBeLessThanOrEqual(LEASE_SECONDS * 1000 + 1000);
    },
  );

  const worker = (owner: Caller, leaseSeconds: number, workMs: number): PullWorker =>
    new PullWorker(app.url, owner, leaseSeconds, workMs);

  /** Until all is done; @returns how often `every` was called. */
  const whileWorking = async (projectId: ProjectId, ms: number, every: () => Promise<void> | void): Promise<number> => {
    for (let times = 0; ; times += 1) {
      await pause(ms);
      if ((await undone(projectId)) === 0) return times;
      await every();
    }
  };
  const checked = async (projectId: ProjectId, ids: string[], workers: PullWorker[], harmed: Set<PullWorker>) => {
    let again = 0;
    for (const id of ids) {
      expect((await queues.job(projectId, 'embeddings', id)).state).toBe('done');
      const by = workers.filter(({ started }) => started.includes(id));
      again += by.length - 1;
      expect(by.filter((each) => !harmed.has(each)).length).toBeLessThanOrEqual(1);
      expect(by.filter(({ acked }) => acked.get(id) === '204').length).toBeLessThanOrEqual(1);
    }
    return again;
  };

  it('bare consumers over HTTP, kill -9 of any every 200 ms', { timeout: HOUR }, async () => {
    const owner = await app.caller('owner');
    const projectId = owner.projectId as ProjectId;
    const ids = await fill(projectId, JOBS / 10);
    const start = (): PullWorker => worker(owner, 1, 5);
    const alive = Array.from({ length: PROCESSES }, start);
    const all = [...alive];
    const killed = new Set<PullWorker>();
    const kills = await whileWorking(projectId, 200, () => {
      const victim = Math.floor(rng() * PROCESSES);
      alive[victim]!.signal('SIGKILL');
      killed.add(alive[victim]!);
      all.push((alive[victim] = start()));
    });
    for (const each of alive) each.signal('SIGKILL');
    const again = await checked(projectId, ids, all, killed);
    figure(`${ids.length} jobs, bare consumers, ${kills} kills: none lost, ${again} started again, each by a kill`);
  });

  it('SIGSTOP of any for twice its lease: its late ack gets 409 and changes nothing', { timeout: HOUR }, async () => {
    const owner = await app.caller('owner');
    const projectId = owner.projectId as ProjectId;
    const ids = await fill(projectId, JOBS / 20);
    const all = Array.from({ length: PROCESSES }, () => worker(owner, 1, 100));
    const stopped = new Set<PullWorker>();
    const stops = await whileWorking(projectId, 500, async () => {
      const victim = all[Math.floor(rng() * PROCESSES)]!;
      stopped.add(victim);
      victim.signal('SIGSTOP');
      await pause(2000);
      victim.signal('SIGCONT');
    });
    await until(() => all.every(({ started, acked }) => new Set(started).size === acked.size), 'all have acked');
    for (const each of all) each.signal('SIGKILL');
    const late = all.flatMap(({ acked }) => [...acked.values()]).filter((status) => status === '409').length;
    const again = await checked(projectId, ids, all, stopped);
    figure(
      `${ids.length} jobs, ${stops} stops of 2 s with leases of 1 s: none lost, ${late} late acks got 409, ${again} started again`,
    );
    expect(late).toBeGreaterThan(0);
  });
});
