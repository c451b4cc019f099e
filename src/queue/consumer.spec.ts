import { describe, expect, it, vi } from 'vitest';
import { consumerModule } from '../../test/queue/consumer-module.js';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { LeaseService } from './lease.service.js';
import { QueueConsumer } from './queue-consumer.decorator.js';
import { QueueKeys } from './queue.keys.js';
import { QueueService } from './queue.service.js';

describe('@QueueConsumer', () => {
  it('works on the jobs of every project, ours and pushed by others, and keeps their results', async () => {
    const { queue, module } = consumerModule({ concurrency: 4 }, async (projectId, job) => ({
      for: projectId,
      attempt: job.attempt,
    }));
    await using app = await TestApp.start({ extensions: [module] });
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
    await using app = await TestApp.start({ extensions: [module] });
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
    await using app = await TestApp.start({ extensions: [module] });
    const queues = app.get(QueueService);
    const projectId = newProject();
    const [job] = await queues.enqueue(projectId, queue, [{ task: {}, maxAttempts: 1 }]);
    const look = () => queues.job(projectId, queue, job!.jobId);
    await until(async () => (await look()).state === 'dead', 'its attempts are used up');
    expect((await look()).lastError).toContain('result');
  });

  it('keeps its lease while the handler works, however long', async () => {
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    let runs = 0;
    const { queue, module } = consumerModule({ leaseSeconds: 1 }, async () => {
      runs += 1;
      await finished;
    });
    await using app = await TestApp.start({ extensions: [module] });
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

  it('tells the handler that its job was cancelled', async () => {
    const { queue, module } = consumerModule({ leaseSeconds: 1 }, (_projectId, _job, signal) => {
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    });
    await using app = await TestApp.start({ extensions: [module] });
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
