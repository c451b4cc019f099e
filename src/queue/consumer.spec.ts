import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Module } from '@nestjs/common';
import { IsOptional, IsString } from 'class-validator';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { type JobHandler, QueueConsumer } from './queue-consumer.decorator.js';
import { QueueKeys } from './queue.keys.js';
import { QueueModule } from './queue.module.js';
import { QueueRegistry } from './queue.registry.js';
import { LeaseService } from './lease.service.js';
import { QueueService } from './queue.service.js';
import type { Lease, LeasedJob } from './queue.types.js';
import { ReadyProjects } from './ready-projects.js';

class AnyTask {
  @IsOptional()
  @IsString()
  note?: string;
}

type Handle = JobHandler['handle'];

/** A module as a team would add it, with a queue of its own, so that no other test's jobs reach it. */
function consumerModule(
  options: { concurrency?: number; leaseSeconds?: number },
  handle: Handle,
): { queue: string; module: new () => object } {
  const queue = `test-${randomUUID()}`;

  @Injectable()
  @QueueConsumer(queue, options)
  class Consumer implements JobHandler {
    constructor(@Inject(QueueRegistry) registry: QueueRegistry) {
      registry.declare({ name: queue, task: AnyTask });
    }
    handle(projectId: ProjectId, job: LeasedJob, signal: AbortSignal): Promise<unknown> {
      return handle(projectId, job, signal);
    }
  }

  @Module({ imports: [QueueModule], providers: [Consumer] })
  class ConsumerModule {}
  return { queue, module: ConsumerModule };
}

/** Lets what leases find reach the consumer only after `release`, where `which` says so. */
function holdAnswers(app: TestApp, which: (projectId: ProjectId, found: Lease) => boolean) {
  const leasing = app.get(LeaseService);
  const lease = leasing.lease.bind(leasing);
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const answer = { held: 0, release };
  vi.spyOn(leasing, 'lease').mockImplementation(async (projectId, ...rest) => {
    const found = await lease(projectId, ...rest);
    if (which(projectId, found)) {
      answer.held += 1;
      await released;
    }
    return found;
  });
  return answer;
}

describe('@QueueConsumer', () => {
  const apps: TestApp[] = [];
  const start = async (module: new () => object): Promise<TestApp> => {
    const app = await TestApp.start({ extensions: [module] });
    apps.push(app);
    return app;
  };
  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.close()));
  });

  it('works on the jobs of every project, ours and pushed by others, and keeps their results', async () => {
    const { queue, module } = consumerModule({ concurrency: 4 }, async (projectId, job) => ({
      for: projectId,
      attempt: job.attempt,
    }));
    const app = await start(module);
    const queues = app.get(QueueService);
    const projects = [newProject(), newProject(), newProject()];
    const jobs = await Promise.all(
      projects.map(async (projectId) => (await queues.enqueue(projectId, queue, [{ task: {} }]))[0]!.jobId),
    );
    await Promise.all(
      projects.map((projectId, i) =>
        until(async () => (await queues.job(projectId, queue, jobs[i]!)).state === 'done', 'the job is done'),
      ),
    );
    expect((await queues.job(projects[1]!, queue, jobs[1]!)).result).toEqual({ for: projects[1], attempt: 1 });

    await app.state.rpush(app.keys.key(projects[0]!, 'queue', queue), JSON.stringify({ project_id: projects[0] }));
    await until(async () => (await queues.counts(projects[0]!, queue)).waiting === 0, 'the foreign task is taken up');
    const ran = `queue_run_seconds_count{queue="${queue}"} 4`;
    await until(async () => (await app.anonymous.get('/metrics')).text.includes(ran), 'the time of each is counted');
  });

  it('retries what throws, and leaves it dead with the last error after its attempts', async () => {
    const attempts: number[] = [];
    const { queue, module } = consumerModule({}, async (_projectId, job) => {
      attempts.push(job.attempt);
      throw new Error(`attempt ${job.attempt} failed`);
    });
    const app = await start(module);
    const queues = app.get(QueueService);
    const projectId = newProject();
    const [job] = await queues.enqueue(projectId, queue, [{ task: {}, maxAttempts: 2 }]);
    const view = await until(async () => {
      const found = await queues.job(projectId, queue, job!.jobId);
      return found.state === 'dead' ? found : undefined;
    });
    expect(attempts).toEqual([1, 2]);
    expect(view.lastError).toBe('attempt 2 failed');
  });

  it.each([{ concurrency: 0 }, { leaseSeconds: 3601 }, { leaseSeconds: NaN }, { maxHoldSeconds: 90_000 }])(
    'refuses options out of their range: %o',
    (options) => {
      expect(() => QueueConsumer('embeddings', options)).toThrow(RangeError);
    },
  );

  it('retries what gives a result that is too large to be kept', async () => {
    const { queue, module } = consumerModule({}, async () => 'x'.repeat(300_000));
    const app = await start(module);
    const queues = app.get(QueueService);
    const projectId = newProject();
    const [job] = await queues.enqueue(projectId, queue, [{ task: {}, maxAttempts: 1 }]);
    const look = () => queues.job(projectId, queue, job!.jobId);
    await until(async () => (await look()).state === 'dead', 'its attempts are used up');
    expect((await look()).lastError).toContain('result');
  });

  it('fills all of its slots, and no more, with the jobs of many projects', async () => {
    let [running, most] = [0, 0];
    const handled: string[] = [];
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const { queue, module } = consumerModule({ concurrency: 6 }, async (projectId) => {
      most = Math.max(most, (running += 1));
      if (running === 6) open();
      await opened;
      running -= 1;
      handled.push(projectId);
    });
    const app = await start(module);
    const queues = app.get(QueueService);
    const projects = Array.from({ length: 12 }, newProject);
    const jobs = Array.from({ length: 5 }, () => ({ task: {} }));
    await Promise.all(projects.map((projectId) => queues.enqueue(projectId, queue, jobs)));
    await until(() => handled.length === 60, 'all are done');
    expect(most).toBe(6);
    for (const projectId of projects) expect(handled.filter((each) => each === projectId)).toHaveLength(5);
  });

  it('asks for the next project while the answer to one with more turns is on its way', async () => {
    const done: ProjectId[] = [];
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const [first, heavy, light] = [newProject(), newProject(), newProject()];
    let blocked = 0;
    const { queue, module } = consumerModule({ concurrency: 2 }, async (projectId) => {
      if (projectId === first) {
        blocked += 1;
        await opened;
      }
      done.push(projectId);
    });
    const app = await start(module);
    const queues = app.get(QueueService);
    await app.state.hset(app.keys.key(heavy, 'config', 'queue', queue), 'weight', 100);
    await queues.enqueue(heavy, queue, [{ task: {} }]);
    await until(() => done.length === 1, 'the weight is known');

    // Both are ready before there is a slot, so that they are of one round.
    await queues.enqueue(first, queue, [{ task: {} }, { task: {} }]);
    await until(() => blocked === 2, 'no slot is free');
    const ready = new Set<ProjectId>();
    await app.get(ReadyProjects).watch(queue, (projectId) => ready.add(projectId));
    for (const projectId of [heavy, light]) {
      await queues.enqueue(projectId, queue, [{ task: {} }]);
      await until(() => ready.has(projectId), 'the consumer heard of it');
    }
    const answer = holdAnswers(app, (projectId) => projectId === heavy);
    open();
    await until(() => done.includes(light), 'the other is served');
    expect(done).toEqual([heavy, first, first, light]);
    answer.release();
    await until(() => done.length === 5, 'all are done');
  });

  it('goes on with a project in which an older answer found nothing', async () => {
    const finish: (() => void)[] = [];
    const { queue, module } = consumerModule(
      { concurrency: 2 },
      () => new Promise<void>((resolve) => finish.push(resolve)),
    );
    const app = await start(module);
    const queues = app.get(QueueService);
    const projects = app.get(ReadyProjects);
    const projectId = newProject();
    const answer = holdAnswers(app, (_projectId, { jobs }) => jobs.length === 0);
    await queues.enqueue(projectId, queue, [{ task: {} }]);
    await until(() => finish.length === 1 && answer.held > 0, 'one job runs, and no other was found');
    let woken = false;
    await projects.watch(queue, () => (woken = true));
    await queues.enqueue(projectId, queue, [{ task: {} }, { task: {} }]);
    await until(() => woken, 'the consumer heard of more');
    // From now on no sweep helps out.
    projects.onModuleDestroy();
    finish[0]!();
    await until(() => finish.length === 2, 'the ack brought the second along');
    answer.release();
    await until(() => finish.length === 3, 'the third runs');
    finish.forEach((each) => each());
  });

  it('keeps its lease while the handler works, however long', async () => {
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    let runs = 0;
    const { queue, module } = consumerModule({ leaseSeconds: 1 }, async () => {
      runs += 1;
      await finished;
    });
    const app = await start(module);
    const queues = app.get(QueueService);
    const projectId = newProject();
    const [job] = await queues.enqueue(projectId, queue, [{ task: {} }]);
    const first = await until(async () => (await queues.job(projectId, queue, job!.jobId)).leaseExpiresAt);
    // Renewed past the end of the first lease, and then some.
    await until(
      async () => ((await queues.job(projectId, queue, job!.jobId)).leaseExpiresAt ?? 0) > first + 1500,
      'the lease was renewed',
    );
    finish();
    await until(async () => (await queues.job(projectId, queue, job!.jobId)).state === 'done');
    expect(runs).toBe(1);
  });

  it('serves projects in turn, whoever floods the queue', async () => {
    const served: ProjectId[] = [];
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const { queue, module } = consumerModule({ concurrency: 2 }, async (projectId) => {
      await opened;
      served.push(projectId);
    });
    const app = await start(module);
    const queues = app.get(QueueService);
    const flood = newProject();
    const others = Array.from({ length: 9 }, newProject);
    for (let i = 0; i < 5; i += 1)
      await queues.enqueue(
        flood,
        queue,
        Array.from({ length: 100 }, () => ({ task: {} })),
      );
    await Promise.all(others.map((projectId) => queues.enqueue(projectId, queue, [{ task: {} }])));
    open();
    await until(() => others.every((projectId) => served.includes(projectId)), 'each had its job done');
    // One turn of each that is ready, and what was leased before the last of them was heard of.
    expect(Math.max(...others.map((projectId) => served.indexOf(projectId)))).toBeLessThan(40);
  });

  it('tells the handler that its job was cancelled', async () => {
    const { queue, module } = consumerModule({ leaseSeconds: 1 }, (_projectId, _job, signal) => {
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    });
    const app = await start(module);
    const queues = app.get(QueueService);
    const projectId = newProject();
    const [job] = await queues.enqueue(projectId, queue, [{ task: {} }]);
    await until(async () => (await queues.job(projectId, queue, job!.jobId)).state === 'leased');
    await queues.cancel(projectId, queue, job!.jobId);
    await until(async () => (await queues.job(projectId, queue, job!.jobId)).finishedAt, 'the lease is over');
    expect((await queues.job(projectId, queue, job!.jobId)).state).toBe('cancelled');
  });

  it('repeats an ack that Redis did not answer, so that work that is done is not done again', async () => {
    await using redis = await ownRedis();
    let runs = 0;
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const { queue, module } = consumerModule({}, async () => {
      runs += 1;
      await finished;
      return 'result';
    });
    await using app = await TestApp.start({ extensions: [module], servers: { state: redis } });
    const queues = app.get(QueueService);
    const acks = vi.spyOn(app.get(LeaseService), 'ack');
    const projectId = newProject();
    const [job] = await queues.enqueue(projectId, queue, [{ task: {} }]);
    await until(() => runs === 1, 'the handler works');
    await redis.freeze();
    finish();
    await until(() => acks.mock.settledResults[0]?.type === 'rejected', 'the first ack failed');
    await redis.thaw();
    const look = () => queues.job(projectId, queue, job!.jobId).catch(() => undefined);
    await until(async () => (await look())?.state === 'done', 'the job is done');
    expect(await look()).toMatchObject({ attempts: 1, result: 'result' });
    expect(runs).toBe(1);
  });

  it('serves the other projects while a key of one holds another kind of value', async () => {
    const { queue, module } = consumerModule({}, async () => 'result');
    const app = await start(module);
    const queues = app.get(QueueService);
    const [broken, good] = [newProject(), newProject()];
    const keys = app.get(QueueKeys);
    await app.state.sadd(keys.places(broken, queue).waiting, 'no script uses sets');
    await app.state.rpush(keys.list(broken, queue), JSON.stringify({ project_id: broken }));
    await app.state.publish(keys.places(broken, queue).wake, '');
    const jobs = await queues.enqueue(
      good,
      queue,
      Array.from({ length: 20 }, () => ({ task: {} })),
    );
    await until(
      async () => (await queues.job(good, queue, jobs.at(-1)!.jobId)).state === 'done',
      'the last job is done',
    );
    expect(await app.state.llen(keys.list(broken, queue))).toBe(1);
  });

  it('gives what it could not finish back at shutdown, the attempt not counted', async () => {
    const { queue, module } = consumerModule({}, () => new Promise(() => undefined));
    const stopping = await TestApp.start({ extensions: [module] });
    const projectId = newProject();
    const [job] = await stopping.get(QueueService).enqueue(projectId, queue, [{ task: {} }]);
    const queues = stopping.get(QueueService);
    await until(async () => (await queues.job(projectId, queue, job!.jobId)).state === 'leased', 'it is leased');
    // A record begins with its state and the number of its attempts.
    const record = stopping.keys.key(projectId, 'queue', queue, 'job', job!.jobId);
    const watcher = stopping.state.duplicate();
    await stopping.close();
    expect(await watcher.getrangeBuffer(record, 0, 1)).toEqual(Buffer.from('w\0'));
    expect(await watcher.zcard(stopping.get(QueueKeys).places(projectId, queue).leases)).toBe(0);
    watcher.disconnect();
  });
});
