import { parseList } from 'structured-headers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

type Project = ReturnType<typeof newProject>;

const DAY = 86_400;

describe('policies', () => {
  let app: TestApp;
  let other: TestApp;
  let quotas: QuotaService;
  beforeAll(async () => {
    const env = {
      RATE_LIMITS: JSON.stringify({
        api: { limit: 100_000, window_seconds: 60 },
        search: { limit: 3, window_seconds: 3600, also: [{ limit: 5, window_seconds: DAY }] },
        mine: { limit: 10, window_seconds: DAY, also: [{ limit: 2, window_seconds: DAY, per_user: true }] },
        trial: { limit: 100, window_seconds: DAY, also: [{ limit: 1, window_seconds: 3600, dry_run: true }] },
      }),
      QUOTAS: JSON.stringify({
        pages: { limits: { day: 10 } },
        counted: { limits: { day: 5 }, dry_run: true },
        paced: { limits: {}, bucket: { limit: 10, window_seconds: DAY }, dry_run: true },
      }),
    };
    [app, other] = await Promise.all([TestApp.start({ env }), TestApp.start({ env })]);
    quotas = app.get(QuotaService);
  });
  afterAll(async () => {
    await Promise.all([app.close(), other.close()]);
  });

  const metric = async (name: string): Promise<number> => {
    const text = await app.get(MetricsRegistry).registry.getSingleMetricAsString(name);
    return [...text.matchAll(/\} (\d+)$/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
  };

  it('of several buckets are decided together: from all of them or from none', async () => {
    const projectId = newProject();
    expect((await quotas.consumeRate(projectId, 'search', 3)).state.buckets?.map(({ remaining }) => remaining)).toEqual(
      [0, 2],
    );
    const day = app.keys.key(projectId, 'ratelimit', 'search', String(DAY));
    const before = await app.state.getBuffer(day);
    expect((await quotas.chargeRate(projectId, 'search', 1)).allowed).toBe(false);
    expect(await app.state.getBuffer(day)).toEqual(before);

    const owner = await app.caller('owner');
    const { body, headers } = await owner.post('/rate-limits/search/consume').send({ cost: 2 }).expect(200);
    expect(body).toMatchObject({
      limit: 3,
      remaining: 1,
      buckets: [{ window_seconds: 3600 }, { limit: 5, remaining: 3 }],
    });
    const names = parseList(headers['ratelimit-policy'] as string).map(([name]) => name);
    expect(names).toEqual(['api', 'search', `search.${DAY}`]);
    await owner
      .put('/rate-limits/search')
      .send({ limit: 30, window_seconds: 60, also: [{ limit: 5, window_seconds: DAY }] });
    const refused = await owner.post('/rate-limits/search/consume').send({ cost: 4 }).expect(429);
    expect(refused.body.rule).toBe(`search.${DAY}`);
    const twice = { limit: 1, window_seconds: 60, also: [{ limit: 5, window_seconds: 60 }] };
    expect((await owner.put('/rate-limits/search').send(twice).expect(400)).body.code).toBe('validation_failed');
    expect((await owner.get('/rate-limits').expect(200)).body.items).toContainEqual({
      action: 'search',
      limit: 30,
      window_seconds: 60,
      also: [{ limit: 5, window_seconds: DAY }],
    });
  });

  it('per user limit each user of the project for himself, and all of them together', async () => {
    const projectId = newProject();
    const passes = async (user?: string): Promise<boolean> =>
      (await quotas.chargeRate(projectId, 'mine', 1, { user })).allowed;
    expect([await passes('ann'), await passes('ann'), await passes('ann')]).toEqual([true, true, false]);
    expect(await passes('no name: ü')).toBe(true);
    expect(await passes()).toBe(true);
    // Users are hashed where they are no names.
    const users = (await app.keysOf(projectId)).filter((key) => key.includes(':user:'));
    expect(users).toHaveLength(2);
    expect(users).toContain(app.keys.key(projectId, 'ratelimit', 'mine', String(DAY), 'user', 'ann'));
    // A user of that name in another project is another one.
    expect((await quotas.chargeRate(newProject(), 'mine', 2, { user: 'ann' })).allowed).toBe(true);
    for (let i = 0; i < 6; i += 1) expect(await passes()).toBe(true);
    expect(await passes('ben')).toBe(false);
    // By HTTP the user is the caller, unless the body names one.
    const caller = await app.caller('worker');
    const consume = (user?: string) => caller.post('/rate-limits/mine/consume').send({ user });
    await consume().expect(200);
    await consume().expect(200);
    expect((await consume().expect(429)).body.rule).toBe(`mine.${DAY}.user`);
    await consume('somebody').expect(200);
  });

  it('that are dry refuse nothing, and tell by metric, header and answer what they would refuse', async () => {
    const before = await metric('quota_dry_refusals_total');
    const caller = await app.caller('editor');
    const trial = () => caller.post('/rate-limits/trial/consume').expect(200);
    expect((await trial()).body.would_refuse).toBeUndefined();
    const { body, headers } = await trial();
    expect(body).toMatchObject({ allowed: true, would_refuse: true });
    const [, , [, policy]] = parseList(headers['ratelimit-policy'] as string) as never as [
      0,
      0,
      [0, Map<string, unknown>],
    ];
    expect(policy.get('dry')).toBe(true);
    const [, , [, state]] = parseList(headers['ratelimit'] as string) as never as [0, 0, [0, Map<string, unknown>]];
    expect(state.get('refuses')).toBe(true);
    expect(await metric('quota_dry_refusals_total')).toBe(before + 1);

    await caller.post('/quotas/counted/consume').send({ amount: 5 }).expect(200);
    const over = await caller.post('/quotas/counted/consume').send({ amount: 2 }).expect(200);
    expect(over.body).toMatchObject({ dry_run: true, would_refuse: true, windows: { day: { used: 7 } } });
    expect(await metric('quota_dry_refusals_total')).toBe(before + 2);
  });

  it('that are dry take nothing from a bucket where they would have refused: it is not overdrawn when they are dry no more', async () => {
    const projectId = newProject();
    const reservations = app.get(ReservationService);
    await quotas.consume(projectId, 'paced', 7);
    expect((await quotas.consume(projectId, 'paced', 4)).bucket).toMatchObject({ remaining: 3 });
    const hold = await reservations.reserve(projectId, 'paced', 4);
    expect((await quotas.get(projectId, 'paced')).bucket).toMatchObject({ remaining: 3 });
    await reservations.commit(projectId, 'paced', hold.id, 2);
    expect((await quotas.get(projectId, 'paced')).bucket).toMatchObject({ remaining: 3 });
    await quotas.put(projectId, 'paced', { limits: {}, bucket: { limit: 10, window_seconds: DAY } });
    await quotas.consume(projectId, 'paced', 3);
    const usage = await quotas.usage(projectId, 'paced', { granularity: 'day' });
    expect(usage.at(-1)!.used).toBe(7 + 4 + 2 + 3);
  });

  it('per user charge a repeated key once, and refuse it for another user', async () => {
    const projectId = newProject();
    const once = (user: string) => quotas.consumeRate(projectId, 'mine', 1, { user, idempotencyKey: 'once' });
    const first = await once('ann');
    expect(await once('ann')).toEqual(first);
    await expect(once('ben')).rejects.toMatchObject({ code: 'conflict' });
  });

  it('hold from the next call on where the owner sets them, and soon on other instances', async () => {
    const projectId = newProject();
    const far = other.get(QuotaService);
    await quotas.consume(projectId, 'pages', 6);
    await far.consume(projectId, 'pages', 1);
    await far.consumeRate(projectId, 'search', 2);
    await quotas.put(projectId, 'pages', { limits: { day: 7 } });
    await quotas.putRate(projectId, 'search', { limit: 3, window_seconds: 7200 });
    await expect(quotas.consume(projectId, 'pages', 1)).rejects.toMatchObject({ code: 'quota_exceeded' });
    // A bucket that has moved is known as such at once, or an old policy would fill it anew.
    expect((await far.consumeRate(projectId, 'search', 1)).state.bucket).toMatchObject({
      windowSeconds: 7200,
      remaining: 0,
    });
    await until(
      async () => !(await far.charge(projectId, [{ resource: 'pages', amount: 1 }])).allowed,
      'the limit holds there',
    );
    expect((await far.get(projectId, 'pages')).windows[0]).toMatchObject({ limit: 7 });
    // What the others let pass in their last second lies below the former limit.
    expect((await quotas.get(projectId, 'pages')).windows[0]!.used).toBeLessThanOrEqual(10);
  });

  it('that have refused refuse from memory, until they can pass, or are raised here', async () => {
    const projectId = newProject();
    const charge = async (amount: number): Promise<boolean> =>
      (await quotas.charge(projectId, [{ resource: 'pages', amount }])).allowed;
    await quotas.consume(projectId, 'pages', 8);
    expect(await charge(3)).toBe(false);
    // Redis would let it pass; the memory does not ask.
    await app.state.del(...(await app.keysOf(projectId)));
    expect([await charge(3), await charge(4)]).toEqual([false, false]);
    expect(await charge(2)).toBe(true);
    await until(async () => charge(3), 'Redis is asked again', 3000);

    await quotas.consume(projectId, 'pages', 5);
    expect(await charge(1)).toBe(false);
    await quotas.put(projectId, 'pages', { limits: { day: 11 } });
    expect(await charge(1)).toBe(true);
  });

  it('of a bucket that have refused refuse from memory, too', async () => {
    const projectId = newProject();
    await quotas.put(projectId, 'paced', { limits: {}, bucket: { limit: 10, window_seconds: DAY } });
    const passes = async (amount: number): Promise<boolean> =>
      (await quotas.charge(projectId, [{ resource: 'paced', amount }])).allowed;
    const hold = await app.get(ReservationService).reserve(projectId, 'paced', 8);
    expect(await passes(3)).toBe(false);
    await app.get(ReservationService).commit(projectId, 'paced', hold.id, 8);
    expect(await passes(3)).toBe(false);
    // Redis would let it pass; the memory does not ask.
    await app.state.del((await app.keysOf(projectId)).filter((key) => !key.includes(':config:')));
    expect([await passes(3), await passes(4)]).toEqual([false, false]);
  });

  it('with open holds are never refused from memory: a release passes on at once', async () => {
    const caller = await app.caller('editor');
    const { body } = await caller.post('/quotas/pages/reservations').send({ amount: 10 }).expect(201);
    await caller.post('/quotas/pages/consume').send({ amount: 1 }).expect(429);
    await caller.delete(`/quotas/pages/reservations/${body.reservation_id}`).expect(204);
    await caller.post('/quotas/pages/consume').send({ amount: 1 }).expect(200);
  });

  it('are looked at without being charged', async () => {
    const projectId: Project = newProject();
    const items = [
      { resource: 'pages', amount: 11 },
      { action: 'search', cost: 3 },
    ];
    expect((await quotas.peek(projectId, items)).allowed).toBe(false);
    expect((await quotas.peek(projectId, [{ action: 'search', cost: 3 }])).allowed).toBe(true);
    expect((await quotas.peek(projectId, [{ action: 'search', cost: 4 }])).allowed).toBe(false);
    expect(await app.keysOf(projectId)).toEqual([]);
  });
});
