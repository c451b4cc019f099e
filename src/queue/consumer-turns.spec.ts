import { randomUUID } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { AnyTask, consumerModule } from '../../test/queue/consumer-module.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { ConsumerRunner } from './consumer-runner.js';
import { LeaseService } from './lease.service.js';
import type { JobHandler } from './queue-consumer.decorator.js';
import { QueueKeys } from './queue.keys.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueRegistry } from './queue.registry.js';
import { QueueService } from './queue.service.js';
import type { Lease } from './queue.types.js';
import { ReadyProjects } from './ready-projects.js';
import { LeaseKeeper } from './renewal/lease-keeper.js';

/**
 * Keeps what leases found from the consumer, where `which` says so: `held` lets each of them through by itself, `release` all of
 * them, and those to come. Also at the end of the block, or a test that fails would wait for its consumer for ever.
 */
function holdAnswers(app: TestApp, which: (projectId: ProjectId, found: Lease) => boolean) {
  const leasing = app.get(LeaseService);
  const lease = leasing.lease.bind(leasing);
  const held: (() => void)[] = [];
  let released = false;
  const release = (): void => {
    released = true;
    for (const letThrough of held) letThrough();
  };
  vi.spyOn(leasing, 'lease').mockImplementation(async (projectId, ...rest) => {
    const found = await lease(projectId, ...rest);
    if (!released && which(projectId, found)) await new Promise<void>((resolve) => held.push(resolve));
    return found;
  });
  return { held, release, [Symbol.dispose]: release };
}

/** A consumer that only the test tells of projects that are ready. */
function consumerOf(app: TestApp, concurrency: number, handle: JobHandler['handle']) {
  const queue = `test-${randomUUID()}`;
  app.get(QueueRegistry).declare({ name: queue, task: AnyTask });
  const [leasing, leases, metrics] = [app.get(LeaseService), app.get(LeaseKeeper), app.get(QueueMetrics)];
  const runner = new ConsumerRunner(queue, { handle }, leasing, leases, metrics, { concurrency });
  return {
    queue,
    ready: (projectId: ProjectId) => runner.ready(projectId),
    [Symbol.asyncDispose]: () => runner.stop(0),
  };
}

describe('@QueueConsumer, with the jobs of several projects', () => {
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
    await using app = await TestApp.start({ extensions: [module] });
    const queues = app.get(QueueService);
    const projects = Array.from({ length: 12 }, newProject);
    const jobs = Array.from({ length: 5 }, () => ({ task: {} }));
    await Promise.all(projects.map((projectId) => queues.enqueue(projectId, queue, jobs)));
    await until(() => handled.length === 60, 'all are done');
    expect(most).toBe(6);
    for (const projectId of projects) expect(handled.filter((each) => each === projectId)).toHaveLength(5);
  });

  it('asks for another project while the answer to one with more turns is on its way, and for that one only once', async () => {
    const done: ProjectId[] = [];
    await using app = await TestApp.start();
    await using consumer = consumerOf(app, 2, async (projectId) => done.push(projectId));
    const { queue } = consumer;
    const [queues, leasing] = [app.get(QueueService), app.get(LeaseService)];
    const [heavy, light] = [newProject(), newProject()];
    await app.state.hset(app.keys.key(heavy, 'config', 'queue', queue), 'weight', 100);
    using answers = holdAnswers(app, (projectId) => projectId === heavy);
    const asked = (projectId: ProjectId): number =>
      vi.mocked(leasing.lease).mock.calls.filter(([each]) => each === projectId).length;

    // It finds nothing, and takes both slots until that is known: what becomes ready meanwhile is of one round.
    consumer.ready(heavy);
    await until(() => answers.held.length === 1, 'nothing is found');
    for (const projectId of [heavy, light]) {
      await queues.enqueue(projectId, queue, [{ task: {} }]);
      consumer.ready(projectId);
    }
    expect([asked(heavy), asked(light)]).toEqual([1, 0]);
    answers.held[0]!();
    await until(() => done.length === 1 && answers.held.length === 2, 'one is served, and the other asked for');
    expect(done).toEqual([light]);
    expect(asked(heavy)).toBe(2);
    answers.release();
    await until(() => done.length === 2, 'both are served');
  });

  it('goes on with a project in which an older answer found nothing', async () => {
    const finish: (() => void)[] = [];
    const { queue, module } = consumerModule(
      { concurrency: 2 },
      () => new Promise<void>((resolve) => finish.push(resolve)),
    );
    await using app = await TestApp.start({ extensions: [module] });
    const queues = app.get(QueueService);
    const projects = app.get(ReadyProjects);
    const projectId = newProject();
    using answers = holdAnswers(app, (_projectId, { jobs }) => jobs.length === 0);
    await queues.enqueue(projectId, queue, [{ task: {} }]);
    await until(() => finish.length === 1 && answers.held.length > 0, 'one job runs, and no other was found');
    let woken = false;
    await projects.watch(queue, () => (woken = true));
    await queues.enqueue(projectId, queue, [{ task: {} }, { task: {} }]);
    await until(() => woken, 'the consumer heard of more');
    // From now on no sweep helps out.
    projects.onModuleDestroy();
    finish[0]!();
    await until(() => finish.length === 2, 'the ack brought the second along');
    answers.release();
    await until(() => finish.length === 3, 'the third runs');
    finish.forEach((each) => each());
  });

  it('serves projects in turn, whoever floods the queue', async () => {
    const served: ProjectId[] = [];
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const { queue, module } = consumerModule({ concurrency: 2 }, async (projectId) => {
      await opened;
      served.push(projectId);
    });
    await using app = await TestApp.start({ extensions: [module] });
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

  it('serves the other projects while a key of one holds another kind of value', async () => {
    const { queue, module } = consumerModule({}, async () => 'result');
    await using app = await TestApp.start({ extensions: [module] });
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
});
