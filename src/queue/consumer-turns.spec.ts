import { describe, expect, it, vi } from 'vitest';
import { consumerModule } from '../../test/queue/consumer-module.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { LeaseService } from './lease.service.js';
import { QueueKeys } from './queue.keys.js';
import { QueueService } from './queue.service.js';
import type { Lease } from './queue.types.js';
import { ReadyProjects } from './ready-projects.js';

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
