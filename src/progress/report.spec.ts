import { concat, firstValueFrom, from, lastValueFrom, NEVER, of, Subject, throwError, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { ProgressService } from './progress.service.js';

describe('the progress of an Observable of work', () => {
  let app: TestApp;
  let progress: ProgressService;
  beforeAll(async () => {
    app = await TestApp.start();
    progress = app.get(ProgressService);
  });
  afterAll(() => app.close());

  /** What a stream of the operation shows, from its beginning to its end. */
  async function shown(projectId: ReturnType<typeof newProject>, work: () => void) {
    let opened = (): void => undefined;
    const stands = new Promise<void>((resolve) => (opened = resolve));
    const events = lastValueFrom(progress.stream(projectId, { operationId: 'job', opened }).pipe(toArray()));
    await stands;
    work();
    return (await events).slice(1, -1).map(({ type, data }) => [type, data]);
  }

  it('is told from its start to its completion, and its values pass', async () => {
    const projectId = newProject();
    const passed: string[] = [];
    const events = await shown(projectId, () => {
      const work = of('a', 'b').pipe(progress.report(projectId, { operationId: 'job', total: 2, leaseSeconds: 60 }));
      work.subscribe((value) => passed.push(value));
    });
    expect(events).toEqual([
      ['started', { status: 'started', total: 2, lease_seconds: 60 }],
      ['progress', { done: 1, lease_seconds: 60 }],
      ['progress', { done: 2, lease_seconds: 60 }],
      ['completed', { status: 'completed' }],
    ]);
    expect(passed).toEqual(['a', 'b']);
    expect(await progress.operation(projectId, 'job')).toMatchObject({ status: 'completed', done: 2, total: 2 });
  });

  it('lets no error overtake what came before it, and passes it on', async () => {
    const projectId = newProject();
    let error: unknown;
    const work = concat(
      from([1, 2, 3, 4, 5]),
      throwError(() => new Error('no paper')),
    );
    const describeValue = (n: number) => (n % 2 ? { type: 'page', data: { n } } : undefined);
    const events = await shown(projectId, () => {
      work
        .pipe(progress.report(projectId, { operationId: 'job', describe: describeValue }))
        .subscribe({ error: (thrown) => (error = thrown) });
    });
    expect(events.map(([type, data]) => (data as { n?: number }).n ?? type)).toEqual(['started', 1, 3, 5, 'failed']);
    await until(() => error);
    expect((error as Error).message).toBe('no paper');
    expect(await progress.operation(projectId, 'job')).toMatchObject({ status: 'failed', error: 'no paper' });
  });

  it('ends as cancelled when nobody wants the work any more', async () => {
    const projectId = newProject();
    const subscription = NEVER.pipe(progress.report(projectId, { operationId: 'job' })).subscribe();
    const status = async () => (await progress.operation(projectId, 'job').catch(() => undefined))?.status;
    await until(async () => (await status()) === 'started');
    subscription.unsubscribe();
    await until(async () => (await status()) === 'cancelled');
  });

  it('does not hold up the work when it cannot be published', async () => {
    const projectId = newProject();
    const work = new Subject<number>();
    const values = firstValueFrom(
      work.pipe(progress.report(projectId, { operationId: 'not a name', describe: () => ({ data: {} }) }), toArray()),
    );
    work.next(1);
    work.next(2);
    work.complete();
    expect(await values).toEqual([1, 2]);
  });

  it('gives a span of time for its end once it has counted enough, and none when it cannot know', async () => {
    const projectId = newProject();
    const say = (data: object) => progress.publish(projectId, { type: 'step', data, operation_id: 'job' });
    const eta = async () => (await progress.operation(projectId, 'job')).eta;
    await say({ status: 'started', total: 1000 });
    for (let done = 1; done <= 3; done += 1) {
      await say({ done });
      expect(await eta()).toBeUndefined();
    }
    const redisNow = async (): Promise<number> => Number((await app.state.time())[0]) * 1000;
    await say({ done: 4 });
    const span = (await until(eta))!;
    expect(Date.parse(span.earliest)).toBeGreaterThanOrEqual(await redisNow());
    expect(Date.parse(span.latest)).toBeGreaterThan(Date.parse(span.earliest));
    // Repeating a count teaches nothing, and one that steps back begins anew.
    const key = `proj:${projectId}:progress:op:job`;
    const pace = await app.state.hmget(key, 'pace', 'spread', 'samples');
    await say({ done: 4 });
    expect(await app.state.hmget(key, 'pace', 'spread', 'samples')).toEqual(pace);
    // It has stalled: nothing was counted for far longer than a unit ever took.
    await app.state.hset(key, 'counted_at', 1);
    expect(await eta()).toBeUndefined();
    await say({ done: 1 });
    expect(await eta()).toBeUndefined();
    await say({ status: 'completed', done: 1000 });
    expect(await eta()).toBeUndefined();
  });

  it('has a span that holds what happens when the units take what they took', async () => {
    const projectId = newProject();
    const key = `proj:${projectId}:progress:op:job`;
    const step = (done: number) =>
      progress.publish(projectId, { type: 'step', data: { done, total: 100 }, operation_id: 'job' });
    await step(0);
    const took = [900, 1100, 1000, 950, 1050, 1000, 980, 1020];
    for (const [i, ms] of took.entries()) {
      const [seconds, micros] = await app.state.time();
      await app.state.hset(key, 'counted_at', Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) - ms);
      await step(i + 1);
    }
    const { eta, updated_at: updated } = await progress.operation(projectId, 'job');
    const left = [eta!.earliest, eta!.latest].map((time) => Date.parse(time) - Date.parse(updated));
    expect(left[0]).toBeGreaterThan(40_000);
    expect(left[0]).toBeLessThan(92_000);
    expect(left[1]).toBeGreaterThan(92_000);
    expect(left[1]).toBeLessThan(200_000);
  });
});
