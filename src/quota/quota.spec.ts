import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { isAppError } from '../common/app-error.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { LimitsRegistry } from './limits.registry.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

type Project = ReturnType<typeof newProject>;

describe('quotas', () => {
  let app: TestApp;
  let quotas: QuotaService;
  beforeAll(async () => {
    app = await TestApp.start({
      env: {
        RATE_LIMITS: JSON.stringify({ search: { limit: 5, window_seconds: 36_000 } }),
        QUOTAS: JSON.stringify({
          tokens: { limits: { day: 1000, month: 5000 }, bucket: { limit: 100, window_seconds: 36_000 } },
          pages: { limits: { month: 30 } },
        }),
      },
    });
    quotas = app.get(QuotaService);
  });
  afterAll(() => app.close());

  const pages = async (projectId: Project): Promise<number> =>
    (await quotas.get(projectId, 'pages')).windows.find(({ kind }) => kind === 'month')!.used;
  const refused = async (charge: Promise<unknown>): Promise<{ code: string; rule?: string | undefined }> => {
    const error = await charge.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!isAppError(error)) throw new Error('not refused');
    return { code: error.code, rule: error.details.rule };
  };

  it('accept exactly the limit, however many callers ask at once and whatever they ask for', async () => {
    const projectId = newProject();
    const amounts = Array.from({ length: 200 }, (_, i) => 1 + (i % 4));
    const charged = await Promise.all(
      amounts.map((amount) =>
        quotas.consume(projectId, 'pages', amount).then(
          () => amount,
          () => 0,
        ),
      ),
    );
    const sum = charged.reduce<number>((total, amount) => total + amount, 0);
    expect(sum).toBe(30);
    expect(await pages(projectId)).toBe(30);
  });

  it('charge all rules or none, and name the one that refused', async () => {
    const projectId = newProject();
    const state = await quotas.consume(projectId, 'tokens', 80);
    expect(state.windows.map(({ kind, used }) => [kind, used])).toEqual([
      ['day', 80],
      ['month', 80],
    ]);
    expect(state.bucket).toMatchObject({ limit: 100, remaining: 20 });
    expect(await refused(quotas.consume(projectId, 'tokens', 21))).toEqual({
      code: 'quota_exceeded',
      rule: 'tokens.bucket',
    });
    expect((await quotas.get(projectId, 'tokens')).windows[0]!.used).toBe(80);
    await quotas.consume(projectId, 'tokens', 20);
  });

  it('charge several resources and rate limits together: all or nothing, the same name twice summed', async () => {
    const projectId = newProject();
    const items = [
      { resource: 'pages', amount: 10 },
      { action: 'search', cost: 3 },
      { resource: 'pages', amount: 5 },
    ];
    const states = await quotas.consumeAll(projectId, items);
    expect(states.map(({ state }) => state.windows[0]?.used ?? state.bucket?.remaining)).toEqual([15, 2, 15]);

    expect(await refused(quotas.consumeAll(projectId, items))).toEqual({ code: 'rate_limited', rule: 'search' });
    expect(
      await refused(
        quotas.consumeAll(projectId, [
          { resource: 'pages', amount: 8 },
          { resource: 'pages', amount: 8 },
        ]),
      ),
    ).toEqual({ code: 'quota_exceeded', rule: 'pages.month' });
    const twice = { action: 'search', cost: 2 };
    expect(await refused(quotas.consumeAll(projectId, [twice, twice]))).toEqual({
      code: 'rate_limited',
      rule: 'search',
    });
    expect(await refused(quotas.consumeAll(projectId, [items[0]!, { resource: 'unknown', amount: 1 }]))).toMatchObject({
      code: 'not_found',
    });
    expect(await pages(projectId)).toBe(15);
    expect((await quotas.consumeRate(projectId, 'search', 2)).state.bucket?.remaining).toBe(0);
  });

  it('change nothing with a refusal', async () => {
    const projectId = newProject();
    await quotas.consume(projectId, 'tokens', 90);
    const picture = async (): Promise<(string | null)[]> => app.state.mget(await app.keysOf(projectId));
    const before = await picture();
    for (let i = 0; i < 50; i += 1) await refused(quotas.consume(projectId, 'tokens', 11));
    expect(await picture()).toEqual(before);
  });

  it('answer by REST in the form of the contract', async () => {
    const caller = await app.caller('editor');
    const { body } = await caller.post('/quotas/tokens/consume').send({ amount: 30 }).expect(200);
    const at = expect.stringMatching(/^\d{4}-\d\d-\d\dT00:00:00\.000Z$/);
    expect(body).toEqual({
      resource: 'tokens',
      windows: {
        day: { limit: 1000, used: 30, held: 0, remaining: 970, resets_at: at },
        month: { limit: 5000, used: 30, held: 0, remaining: 4970, resets_at: at },
      },
      bucket: { limit: 100, window_seconds: 36_000, remaining: 70 },
    });
    expect((await caller.get('/quotas/tokens').expect(200)).body).toEqual(body);
    const [month] = [new Date(body.windows.month.resets_at)];
    expect(month.getUTCDate()).toBe(1);

    const over = await caller.post('/quotas/tokens/consume').send({ amount: 71 }).expect(429);
    expect(over.body).toMatchObject({ ...body, code: 'quota_exceeded', rule: 'tokens.bucket' });
    expect(Number(over.headers['retry-after'])).toBeGreaterThan(300);

    const all = await caller
      .post('/quotas/consume')
      .send({ items: [{ resource: 'pages', amount: 1 }, { action: 'search' }] })
      .expect(200);
    expect(all.body.items).toEqual([
      { resource: 'pages', windows: { month: { limit: 30, used: 1, held: 0, remaining: 29, resets_at: at } } },
      { action: 'search', allowed: true, limit: 5, remaining: 4, reset_seconds: 7200 },
    ]);
    expect(all.headers['ratelimit']).toContain('"search";r=4;t=7200');
    const none = await caller
      .post('/quotas/consume')
      .send({ items: [{ resource: 'pages', amount: 30 }, { action: 'search' }] })
      .expect(429);
    expect(none.body).toMatchObject({ code: 'quota_exceeded', rule: 'pages.month' });
    expect(none.body.items).toHaveLength(2);
    expect(none.headers['ratelimit']).toContain('"search";r=4');
  });

  it('are replaced by the owner from the next call on, and what was consumed stays consumed, in every window', async () => {
    const owner = await app.caller('owner');
    await owner.post('/quotas/pages/consume').send({ amount: 20 }).expect(200);
    const put = await owner
      .put('/quotas/pages')
      .send({ limits: { hour: 25, month: 10 }, bucket: { limit: 7, window_seconds: 60 } })
      .expect(200);
    expect(put.body.windows).toMatchObject({
      hour: { limit: 25, used: 20, remaining: 5 },
      month: { limit: 10, used: 20, remaining: 0 },
    });
    expect(put.body.windows.day).toBeUndefined();
    expect(put.body.bucket).toEqual({ limit: 7, window_seconds: 60, remaining: 7 });
    await owner.post('/quotas/pages/consume').send({ amount: 1 }).expect(429);

    // An omitted rule is no limit, and a resource without any is still counted.
    expect((await owner.put('/quotas/pages').send({ limits: {} }).expect(200)).body.windows).toEqual({});
    await owner.post('/quotas/pages/consume').send({ amount: 1_000_000 }).expect(200);
    const later = await owner
      .put('/quotas/pages')
      .send({ limits: { day: 5 } })
      .expect(200);
    expect(later.body.windows.day).toMatchObject({ used: 1_000_020, remaining: 0 });
    const ttl = await app.state.ttl(app.keys.key(owner.projectId as Project, 'config', 'limits'));
    expect(ttl).toBe(-1);
  });

  it('keep the level of the bucket when it is changed', async () => {
    const owner = await app.caller('owner');
    await owner.post('/quotas/tokens/consume').send({ amount: 60 }).expect(200);
    const bucket = async (limit: number): Promise<number> =>
      (
        await owner
          .put('/quotas/tokens')
          .send({ bucket: { limit, window_seconds: 72_000 } })
          .expect(200)
      ).body.bucket.remaining;
    expect(await bucket(200)).toBe(140);
    expect(await bucket(50)).toBe(0);
    expect(await bucket(61)).toBe(1);
  });

  it('are listed with what the owner and modules have set', async () => {
    app.get(LimitsRegistry).quota('declared', { limits: { hour: 3 } });
    app.get(LimitsRegistry).quota('pages', { limits: { hour: 3 } });
    const owner = await app.caller('owner');
    await owner
      .put('/quotas/own')
      .send({ limits: { minute: 9 } })
      .expect(200);
    const first = (await owner.get('/quotas?limit=3').expect(200)).body;
    expect(first.items.map(({ resource }: { resource: string }) => resource)).toEqual(['declared', 'own', 'pages']);
    expect(Object.keys(first.items[2].windows)).toEqual(['month']);
    const second = (await owner.get(`/quotas?limit=3&cursor=${first.next_cursor}`).expect(200)).body;
    expect(second.items.map(({ resource }: { resource: string }) => resource)).toEqual(['tokens']);
    expect(second.next_cursor).toBeUndefined();
  });

  it('charge a repeated Idempotency-Key once, never replay a refusal, and refuse another body', async () => {
    const caller = await app.caller('worker');
    const consume = (amount: number) =>
      caller.post('/quotas/pages/consume').set('Idempotency-Key', 'once').send({ amount });
    await consume(31).expect(429);
    const first = await consume(20).expect(200);
    await caller.post('/quotas/pages/consume').send({ amount: 5 }).expect(200);
    expect((await consume(20).expect(200)).body).toEqual(first.body);
    expect((await consume(21).expect(409)).body.code).toBe('conflict');
    expect((await caller.get('/quotas/pages').expect(200)).body.windows.month.used).toBe(25);

    const all = (amount: number) =>
      caller
        .post('/quotas/consume')
        .set('Idempotency-Key', 'once')
        .send({ items: [{ resource: 'pages', amount }] });
    await all(1).expect(200);
    await all(1).expect(200);
    await all(2).expect(409);
    expect((await caller.get('/quotas/pages').expect(200)).body.windows.month.used).toBe(26);
  });

  it('know no resource that nobody gave a policy, refuse bad input, and are for their roles only', async () => {
    const owner = await app.caller('owner');
    for (const answer of [
      owner.get('/quotas/unknown'),
      owner.get('/quotas/unknown/usage?granularity=day'),
      owner.post('/quotas/unknown/consume').send({ amount: 1 }),
      owner.post('/quotas/consume').send({ items: [{ resource: 'unknown', amount: 1 }] }),
      owner.post('/quotas/consume').send({ items: [{ action: 'unknown', cost: 1 }] }),
      owner.post('/quotas/unknown/reservations').send({ amount: 1 }),
    ])
      expect((await answer.expect(404)).body.code).toBe('not_found');
    expect(await app.keysOf(owner.projectId)).toEqual([]);

    const field = async (path: string, body: object): Promise<string> =>
      (await owner.post(path).send(body).expect(400)).body.errors[0].field;
    expect(await field('/quotas/pages/consume', {})).toBe('amount');
    expect(await field('/quotas/pages/consume', { amount: -1 })).toBe('amount');
    expect(await field('/quotas/pages/consume', { amount: 1.5 })).toBe('amount');
    expect(await field('/quotas/consume', { items: [] })).toBe('items');
    expect(await field('/quotas/consume', { items: [{ resource: 'a:b', amount: 1 }] })).toBe('items.0.resource');
    for (const item of [{}, { resource: 'pages' }, { resource: 'pages', amount: 1, action: 'search' }, { cost: 1 }])
      expect(await field('/quotas/consume', { items: [{ action: 'search' }, item] })).toBe('items.1');
    await owner
      .put('/quotas/pages')
      .send({ limits: { week: 1 } })
      .expect(400);
    await owner
      .put('/quotas/pages')
      .send({ limits: { day: -1 } })
      .expect(400);
    await owner
      .put('/quotas/pages')
      .send({ bucket: { limit: 1 } })
      .expect(400);

    const viewer = await app.caller('viewer');
    await viewer.get('/quotas').expect(200);
    await viewer.get('/quotas/pages').expect(200);
    await viewer.post('/quotas/pages/consume').send({ amount: 1 }).expect(403);
    await viewer.post('/quotas/consume').send({ items: [] }).expect(403);
    await (await app.caller('worker')).put('/quotas/pages').send({ limits: {} }).expect(403);
    await app.anonymous
      .get(`/v1/projects/${newProject()}/quotas`)
      .set('Authorization', `Bearer ${owner.token}`)
      .expect(403);
  });

  it('look without charging when the amount is 0, also where nothing is left', async () => {
    const projectId = newProject();
    await quotas.consume(projectId, 'pages', 0);
    expect(await app.keysOf(projectId)).toEqual([]);
    await quotas.consume(projectId, 'pages', 30);
    expect((await quotas.consume(projectId, 'pages', 0)).windows[0]).toMatchObject({ used: 30 });
  });

  it('leave no key without a TTL but what the owner has set, and none at all at once after a purge', async () => {
    const projectId = newProject();
    await quotas.put(projectId, 'tokens', { limits: { day: 100 }, bucket: { limit: 100, window_seconds: 60 } });
    await quotas.putRate(projectId, 'search', { limit: 9, window_seconds: 10 });
    await quotas.consumeAll(projectId, [
      { resource: 'tokens', amount: 5 },
      { resource: 'pages', amount: 5 },
      { action: 'search', cost: 1 },
    ]);
    await quotas.consume(projectId, 'tokens', 1, { idempotencyKey: 'a' });
    await app.get(ReservationService).reserve(projectId, 'tokens', 5);
    const keys = await app.keysOf(projectId);
    expect(keys.length).toBeGreaterThan(13);
    const ttls = await Promise.all(keys.map(async (key) => [key, await app.state.pttl(key)] as const));
    expect(ttls.filter(([, ttl]) => ttl < 0).map(([key]) => key)).toEqual([
      app.keys.key(projectId, 'config', 'limits'),
    ]);

    for (const { hook } of app.get(PurgeRegistry).hooks) await hook(projectId);
    expect((await app.keysOf(projectId)).filter((key) => /:(ratelimit|quota|config):/.test(key))).toEqual([]);
  });
});
