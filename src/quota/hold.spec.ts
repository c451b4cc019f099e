import { Subject } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { metered } from './hold.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

describe('a hold', () => {
  let app: TestApp;
  let reservations: ReservationService;
  beforeAll(async () => {
    app = await TestApp.start({ env: { QUOTAS: JSON.stringify({ tokens: { limits: { month: 100 } } }) } });
    reservations = app.get(ReservationService);
  });
  afterAll(() => app.close());

  const month = async (projectId: ReturnType<typeof newProject>) => {
    const [window] = (await app.get(QuotaService).get(projectId, 'tokens')).windows;
    return { used: window!.used, held: window!.held };
  };

  it('charges the input and what was delivered, however its block is left', async () => {
    const projectId = newProject();
    const stream = async (): Promise<void> => {
      await using hold = await reservations.hold(projectId, 'tokens', 50, { input: 10, every: 5 });
      await hold.use(7);
      throw new Error('the client went away');
    };
    await expect(stream()).rejects.toThrow('the client went away');
    expect(await month(projectId)).toEqual({ used: 17, held: 0 });

    await (async () => {
      await using hold = await reservations.hold(projectId, 'tokens', 50);
      await hold.use(3);
      await hold.commit(20);
    })();
    expect(await month(projectId)).toEqual({ used: 37, held: 0 });
    await (async () => {
      await using hold = await reservations.hold(projectId, 'tokens', 50, { input: 10 });
      await hold.release();
    })();
    expect(await month(projectId)).toEqual({ used: 37, held: 0 });
  });

  it('says stop when the project has no more, and overshoots by what was used between two reports at most', async () => {
    const projectId = newProject();
    const streams = Array.from({ length: 20 }, async () => {
      await using hold = await reservations.hold(projectId, 'tokens', 0, { every: 2 });
      while (await hold.use(1));
    });
    await Promise.all(streams);
    const { used, held } = await month(projectId);
    expect(held).toBe(0);
    expect(used).toBeGreaterThanOrEqual(100);
    expect(used).toBeLessThanOrEqual(100 + 20 * 2);
  });

  it('meters an observable, and settles when its subscriber leaves', async () => {
    const projectId = newProject();
    const source = new Subject<number>();
    const seen: number[] = [];
    const subscription = source
      .pipe(
        metered(
          () => reservations.hold(projectId, 'tokens', 30, { input: 5, every: 1 }),
          (tokens) => tokens,
        ),
      )
      .subscribe((tokens) => seen.push(tokens));
    await until(() => source.observed, 'the hold is made');
    source.next(4);
    source.next(6);
    await until(() => seen.length === 2, 'the values arrive');
    subscription.unsubscribe();
    await until(async () => (await month(projectId)).held === 0, 'the hold is settled');
    expect(await month(projectId)).toEqual({ used: 15, held: 0 });
  });
});
