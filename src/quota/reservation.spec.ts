import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { dump } from '../../test/support/script-example.js';
import { until } from '../../test/support/until.js';
import { isAppError } from '../common/app-error.js';
import { WINDOW_KINDS, WINDOWS } from './policy.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

type Project = ReturnType<typeof newProject>;
const DAY_MS = 86_400_000;

describe('reservations', () => {
  let app: TestApp;
  let quotas: QuotaService;
  let reservations: ReservationService;
  beforeAll(async () => {
    app = await TestApp.start({
      env: {
        QUOTAS: JSON.stringify({
          tokens: { limits: { month: 100 } },
          paced: { limits: { month: 1000 }, bucket: { limit: 100, window_seconds: 36_000 } },
          free: { limits: {} },
        }),
      },
    });
    quotas = app.get(QuotaService);
    reservations = app.get(ReservationService);
  });
  afterAll(() => app.close());

  const month = async (projectId: Project, resource = 'tokens'): Promise<{ used: number; held: number }> => {
    const { used, held } = (await quotas.get(projectId, resource)).windows.at(-1)!;
    return { used, held };
  };
  const bucket = async (projectId: Project): Promise<number> =>
    (await quotas.get(projectId, 'paced')).bucket!.remaining;
  const codeOf = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => 'none',
      (error: unknown) => (isAppError(error) ? error.code : String(error)),
    );

  it('hold an amount, so that nobody else gets it, and give back what was not needed', async () => {
    const projectId = newProject();
    const hold = await reservations.reserve(projectId, 'tokens', 70);
    expect(hold.expiresAt).toBeGreaterThan(Date.now() - 60_000 + 300_000);
    expect(await month(projectId)).toEqual({ used: 0, held: 70 });
    expect(await codeOf(quotas.consume(projectId, 'tokens', 31))).toBe('quota_exceeded');
    expect(await codeOf(reservations.reserve(projectId, 'tokens', 31))).toBe('quota_exceeded');

    expect(await reservations.commit(projectId, 'tokens', hold.id, 45)).toEqual({ charged: 45, overrun: 0 });
    expect(await month(projectId)).toEqual({ used: 45, held: 0 });
    const other = await reservations.reserve(projectId, 'tokens', 55);
    await reservations.release(projectId, 'tokens', other.id);
    expect(await month(projectId)).toEqual({ used: 45, held: 0 });
  });

  it('weigh on the bucket as they do on the windows', async () => {
    const projectId = newProject();
    const hold = await reservations.reserve(projectId, 'paced', 80);
    expect(await bucket(projectId)).toBe(20);
    await reservations.commit(projectId, 'paced', hold.id, 30);
    expect(await bucket(projectId)).toBe(70);
    const other = await reservations.reserve(projectId, 'paced', 70);
    await reservations.release(projectId, 'paced', other.id);
    expect(await bucket(projectId)).toBe(70);
    const third = await reservations.reserve(projectId, 'paced', 10);
    await reservations.commit(projectId, 'paced', third.id, 90);
    expect(await bucket(projectId)).toBe(0);
  });

  it('never let charged - overrun + held exceed the limit, whoever asks at once', async () => {
    const projectId = newProject();
    const overruns = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const hold = await reservations.reserve(projectId, 'tokens', 1 + (i % 5)).catch(() => undefined);
        if (!hold) return 0;
        if (i % 3 === 0) await reservations.release(projectId, 'tokens', hold.id);
        if (i % 3 !== 1) return 0;
        return (await reservations.commit(projectId, 'tokens', hold.id, i % 7)).overrun;
      }),
    );
    const { used, held } = await month(projectId);
    const overrun = overruns.reduce((total, one) => total + one, 0);
    expect(overrun).toBeGreaterThan(0);
    expect(used - overrun + held).toBeLessThanOrEqual(100);
    expect(held).toBeGreaterThan(0);
  });

  it('charge more than was held too, and report it as overrun', async () => {
    const projectId = newProject();
    await quotas.consume(projectId, 'tokens', 60);
    const hold = await reservations.reserve(projectId, 'tokens', 40);
    expect(await reservations.commit(projectId, 'tokens', hold.id, 55)).toEqual({ charged: 55, overrun: 15 });
    expect(await month(projectId)).toEqual({ used: 115, held: 0 });
    expect(await codeOf(quotas.consume(projectId, 'tokens', 1))).toBe('quota_exceeded');
  });

  it('end alike however often and in whatever order they are ended: a commit overrules a release', async () => {
    const projectId = newProject();
    const one = await reservations.reserve(projectId, 'tokens', 10);
    for (let i = 0; i < 3; i += 1)
      expect(await reservations.commit(projectId, 'tokens', one.id, 8)).toEqual({ charged: 8, overrun: 0 });
    await reservations.release(projectId, 'tokens', one.id);
    expect(await month(projectId)).toEqual({ used: 8, held: 0 });
    expect(await codeOf(reservations.commit(projectId, 'tokens', one.id, 9))).toBe('conflict');

    const two = await reservations.reserve(projectId, 'tokens', 10);
    for (let i = 0; i < 3; i += 1) await reservations.release(projectId, 'tokens', two.id);
    expect(await month(projectId)).toEqual({ used: 8, held: 0 });
    // It covered nothing any more.
    expect(await reservations.commit(projectId, 'tokens', two.id, 10)).toEqual({ charged: 10, overrun: 10 });
    expect(await reservations.extend(projectId, 'tokens', two.id, 5)).toEqual({ goOn: false, remaining: 0 });
    expect(await month(projectId)).toEqual({ used: 18, held: 0 });
  });

  it('grow with the reported use, and say stop when the project has no more', async () => {
    const projectId = newProject();
    const hold = await reservations.reserve(projectId, 'tokens', 20);
    await quotas.consume(projectId, 'tokens', 70);
    const extend = (used: number) => reservations.extend(projectId, 'tokens', hold.id, used);
    expect(await extend(15)).toEqual({ goOn: true, remaining: 15 });
    // Late and repeated reports count nothing twice.
    expect(await extend(5)).toEqual({ goOn: true, remaining: 15 });
    expect(await extend(25)).toEqual({ goOn: true, remaining: 5 });
    expect(await month(projectId)).toEqual({ used: 70, held: 25 });
    expect(await extend(32)).toEqual({ goOn: false, remaining: 0 });
    expect(await month(projectId)).toEqual({ used: 70, held: 32 });
    expect(await reservations.commit(projectId, 'tokens', hold.id, 32)).toEqual({ charged: 32, overrun: 2 });
    const free = await reservations.reserve(projectId, 'free', 1);
    expect(await reservations.extend(projectId, 'free', free.id, 5)).toEqual({ goOn: true, remaining: undefined });
  });

  it('expire as each of them says, before any answer shows them, and are corrected by a late commit or release', async () => {
    const projectId = newProject();
    const [reported, charged, refunded] = await Promise.all(
      (['charge_reported', 'charge', 'refund'] as const).map((onExpiry) =>
        reservations.reserve(projectId, 'tokens', 20, { ttlSeconds: 2, onExpiry }),
      ),
    );
    await reservations.extend(projectId, 'tokens', reported!.id, 7);
    await until(async () => {
      const [seconds] = await app.state.time();
      return Number(seconds) * 1000 > reported!.expiresAt + 1000;
    }, 'the holds expire');
    expect(await month(projectId)).toEqual({ used: 7 + 20, held: 0 });

    expect(await reservations.commit(projectId, 'tokens', reported!.id, 12)).toEqual({ charged: 12, overrun: 5 });
    expect(await reservations.commit(projectId, 'tokens', charged!.id, 15)).toEqual({ charged: 15, overrun: 0 });
    await reservations.release(projectId, 'tokens', refunded!.id);
    expect(await month(projectId)).toEqual({ used: 27, held: 0 });

    const late = await reservations.reserve(projectId, 'tokens', 10, { ttlSeconds: 1, onExpiry: 'charge' });
    await until(async () => (await month(projectId)).used === 37, 'the hold is charged');
    await reservations.release(projectId, 'tokens', late.id);
    expect(await month(projectId)).toEqual({ used: 27, held: 0 });
  });

  it('live for their TTL again with each report', async () => {
    const projectId = newProject();
    const hold = await reservations.reserve(projectId, 'tokens', 10, { ttlSeconds: 3600 });
    const due = app.get(QuotaKeys).due(projectId, 'tokens');
    await app.state.zadd(due, hold.expiresAt - 3_000_000, hold.id);
    await reservations.extend(projectId, 'tokens', hold.id, 1);
    expect(Number(await app.state.zscore(due, hold.id))).toBeGreaterThanOrEqual(hold.expiresAt);
  });

  it('are all settled before a refusal or a reading is answered, however many are due', async () => {
    const projectId = newProject();
    const holds = await Promise.all(
      Array.from({ length: 450 }, () => reservations.reserve(projectId, 'paced', 0, { onExpiry: 'refund' })),
    );
    const big = await reservations.reserve(projectId, 'paced', 100, { onExpiry: 'refund' });
    const due = app.get(QuotaKeys).due(projectId, 'paced');
    await app.state.zadd(due, ...holds.flatMap(({ id }) => [1, id]), 2, big.id);
    // It is the last of them, and the charge fits only without it.
    await quotas.consume(projectId, 'paced', 100);
    expect(await app.state.exists(due)).toBe(0);
    expect(await month(projectId, 'paced')).toEqual({ used: 100, held: 0 });
  });

  it('are settled in the windows in which they were made, and leave those of today alone', async () => {
    const projectId = newProject();
    const keys = app.get(QuotaKeys);
    const hold = await reservations.reserve(projectId, 'tokens', 30);
    // Make it one of 40 days ago: the hold and its four cells.
    const key = keys.hold(projectId, 'tokens', hold.id);
    const at = Number(await app.state.hget(key, 'at'));
    const then = at - 40 * DAY_MS;
    const cell = (kind: (typeof WINDOW_KINDS)[number], ms: number): string =>
      keys.cell(projectId, 'tokens', kind, WINDOWS[kind].starts(ms, ms + 1)[0]! / 1000);
    for (const kind of WINDOW_KINDS) await app.state.rename(cell(kind, at), cell(kind, then));
    await app.state.hset(key, 'at', then);
    await quotas.consume(projectId, 'tokens', 90);

    expect(await reservations.commit(projectId, 'tokens', hold.id, 25)).toEqual({ charged: 25, overrun: 0 });
    expect(await month(projectId)).toEqual({ used: 90, held: 0 });
    for (const kind of WINDOW_KINDS) expect(await app.state.get(cell(kind, then)), kind).toBe('25');
    const series = await quotas.usage(projectId, 'tokens', { granularity: 'day', from: then - DAY_MS, to: at });
    expect(series.filter(({ used }) => used > 0).map(({ used }) => used)).toEqual([25, 90]);
  });

  it('change nothing when any of their keys holds a value of another kind', async () => {
    const projectId = newProject();
    const hold = await reservations.reserve(projectId, 'paced', 10);
    const calls = {
      charge: () => quotas.consume(projectId, 'paced', 1),
      reserve: () => reservations.reserve(projectId, 'paced', 1),
      extend: () => reservations.extend(projectId, 'paced', hold.id, 11),
      commit: () => reservations.commit(projectId, 'paced', hold.id, 11),
    };
    const ofResource = (await app.keysOf(projectId)).filter((key) => key.includes(':quota:'));
    expect(ofResource).toHaveLength(7);
    for (const key of ofResource) {
      const original = (await app.state.dumpBuffer(key))!;
      await app.state.del(key);
      await app.state.sadd(key, 'no script uses sets');
      const before = await dump(app, projectId);
      for (const [name, call] of Object.entries(calls)) {
        // Others do not look at the record of a hold that is not due.
        if (key.includes(':hold:') && (name === 'charge' || name === 'reserve')) continue;
        expect(await codeOf(call()), `${name} ${key}`).toBe('conflict');
        expect(await dump(app, projectId), `${name} ${key}`).toEqual(before);
      }
      await app.state.restore(key, 100_000, original, 'REPLACE');
    }
  });

  it('keep every key for as long as a late commit may need it, and no longer than that', async () => {
    const projectId = newProject();
    await quotas.consume(projectId, 'tokens', 1);
    const minute = (await app.keysOf(projectId)).find((key) => key.includes(':minute:'))!;
    expect(await app.state.ttl(minute)).toBeLessThan(4 * 3600);
    const hold = await reservations.reserve(projectId, 'tokens', 1);
    const keys = (await app.keysOf(projectId)).filter((key) => !key.includes(':config:'));
    expect(keys.length).toBeGreaterThanOrEqual(6);
    for (const key of keys) {
      const ttl = await app.state.ttl(key);
      // A hold lives for a day and is corrected for a day.
      expect(ttl, key).toBeGreaterThan(2 * 86_400);
      expect(ttl, key).toBeLessThan(130 * 86_400);
    }
    await reservations.release(projectId, 'tokens', hold.id);
    const key = app.get(QuotaKeys).hold(projectId, 'tokens', hold.id);
    expect(await app.state.ttl(key)).toBeLessThanOrEqual(86_400);
  });

  it('answer by REST in the form of the contract', async () => {
    const caller = await app.caller('worker');
    const reserve = (amount: number) => caller.post('/quotas/tokens/reservations').send({ amount, ttl_seconds: 60 });
    const { body } = await reserve(60).set('Idempotency-Key', 'a').expect(201);
    expect(body).toEqual({
      reservation_id: expect.stringMatching(/^[A-Za-z0-9_-]{16}$/),
      amount: 60,
      expires_at: expect.stringMatching(/Z$/),
    });
    expect((await reserve(60).set('Idempotency-Key', 'a').expect(201)).body).toEqual(body);
    expect((await reserve(61).set('Idempotency-Key', 'a').expect(409)).body.code).toBe('conflict');
    const refused = await reserve(41).expect(429);
    expect(refused.body).toMatchObject({ code: 'quota_exceeded', rule: 'tokens.month', resource: 'tokens' });
    expect(refused.body.windows.month).toMatchObject({ used: 0, held: 60, remaining: 40 });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);

    const base = `/quotas/tokens/reservations/${body.reservation_id}`;
    const extended = await caller.patch(base).send({ used: 10 }).expect(200);
    expect(extended.body).toEqual({ continue: true, remaining: 90 });
    // What gives back or settles is never rate limited.
    expect(extended.headers['ratelimit']).toBeUndefined();
    expect((await caller.post(`${base}/commit`).send({ amount: 50 }).expect(200)).body).toEqual({
      charged: 50,
      overrun: 0,
    });
    expect((await caller.post(`${base}/commit`).send({ amount: 50 }).expect(200)).body).toEqual({
      charged: 50,
      overrun: 0,
    });
    await caller.delete(base).expect(204);
    expect((await caller.get('/quotas/tokens').expect(200)).body.windows.month).toMatchObject({ used: 50, held: 0 });
  });

  it('refuse bad input, unknown holds, other projects and viewers', async () => {
    const editor = await app.caller('editor');
    const path = '/quotas/tokens/reservations';
    for (const wrong of [
      {},
      { amount: -1 },
      { amount: 1, ttl_seconds: 0 },
      { amount: 1, ttl_seconds: 86_401 },
      { amount: 1, on_expiry: 'forget' },
    ])
      expect((await editor.post(path).send(wrong).expect(400)).body.code).toBe('validation_failed');
    await editor.patch(`${path}/nobody`).send({ used: 1 }).expect(404);
    await editor.post(`${path}/nobody/commit`).send({ amount: 1 }).expect(404);
    await editor.delete(`${path}/nobody`).expect(404);

    const { reservation_id: id } = (await editor.post(path).send({ amount: 1 }).expect(201)).body;
    await editor.patch(`${path}/${id}`).send({}).expect(400);
    await editor.post(`${path}/${id}/commit`).send({ amount: 0.5 }).expect(400);
    const stranger = await app.caller('editor');
    await stranger.post(`${path}/${id}/commit`).send({ amount: 1 }).expect(404);
    await app.anonymous
      .delete(`${editor.base}${path}/${id}`)
      .set('Authorization', `Bearer ${stranger.token}`)
      .expect(403);
    await (await app.caller('viewer')).post(path).send({ amount: 1 }).expect(403);
  });
});
