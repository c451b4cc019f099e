import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { fields } from '../../test/support/structured-fields.js';
import { until } from '../../test/support/until.js';
import { isAppError } from '../common/app-error.js';
import { QuotaService } from './quota.service.js';

describe('rate limits', () => {
  let app: TestApp;
  let quotas: QuotaService;
  beforeAll(async () => {
    app = await TestApp.start({
      env: {
        RATE_LIMITS: JSON.stringify({
          api: { limit: 6000, window_seconds: 36_000 },
          slow: { limit: 40, window_seconds: 36_000 },
          fast: { limit: 3, window_seconds: 1 },
        }),
      },
    });
    quotas = app.get(QuotaService);
  });
  afterAll(() => app.close());

  const allowed = async (projectId: ReturnType<typeof newProject>, action: string, cost = 1): Promise<boolean> =>
    (await quotas.chargeRate(projectId, action, cost, {})).allowed;

  // Redis time in seconds.
  const time = async (): Promise<number> => {
    const [seconds, micros] = await app.state.time();
    return Number(seconds) + Number(micros) / 1e6;
  };

  it('accept exactly the limit, however many callers ask at once and whatever they ask for', async () => {
    const projectId = newProject();
    const verdicts = await Promise.all(Array.from({ length: 300 }, () => allowed(projectId, 'slow')));
    expect(verdicts.filter(Boolean)).toHaveLength(40);

    const mixed = newProject();
    const costs = Array.from({ length: 200 }, (_, i) => 1 + (i % 7));
    const taken = await Promise.all(costs.map(async (cost) => ((await allowed(mixed, 'slow', cost)) ? cost : 0)));
    const sum = taken.reduce((total, cost) => total + cost, 0);
    expect(sum).toBeLessThanOrEqual(40);
    // What is left is less than the smallest cost.
    expect(sum).toBeGreaterThan(39);
  });

  it('take nothing with a refusal', async () => {
    const projectId = newProject();
    await quotas.consumeRate(projectId, 'slow', 38);
    const key = app.keys.key(projectId, 'ratelimit', 'slow', '36000');
    const before = await app.state.get(key);
    for (let i = 0; i < 50; i += 1) expect(await allowed(projectId, 'slow', 3)).toBe(false);
    expect(await app.state.get(key)).toBe(before);
    expect(await allowed(projectId, 'slow', 2)).toBe(true);
  });

  it('keep fractions: a bucket that is polled all the time gives what its pace gives, no more and no less', async () => {
    const projectId = newProject();
    const start = await time();
    let taken = 0;
    let end = start;
    let last = start;
    while (end - start < 3.5) {
      if (await allowed(projectId, 'fast')) {
        taken += 1;
        last = end;
      }
      end = await time();
    }
    // Burst of three, then three a second; the one that is on its way is not yet due.
    expect(taken).toBeLessThanOrEqual(3 + Math.floor((end - start) * 3));
    expect(taken).toBeGreaterThanOrEqual(3 + Math.floor((last - start) * 3) - 1);
  });

  it('say when a retry passes, and it does not pass before', async () => {
    const projectId = newProject();
    await quotas.consumeRate(projectId, 'fast', 3);
    const start = await time();
    const error = await quotas.consumeRate(projectId, 'fast', 2).catch((thrown: unknown) => thrown);
    if (!isAppError(error, 'rate_limited')) throw error;
    const { retryAfterSeconds = 0, rule } = error.details;
    expect(rule).toBe('fast');
    expect(retryAfterSeconds).toBeGreaterThan(0);
    expect(retryAfterSeconds).toBeLessThanOrEqual(0.667);
    await until(async () => allowed(projectId, 'fast', 2), 'the bucket refills');
    expect((await time()) - start).toBeGreaterThan(retryAfterSeconds - 0.001);
  });

  it('answer by REST with figures and headers that a structured-fields parser reads', async () => {
    const caller = await app.caller('editor');
    const ok = await caller.post('/rate-limits/slow/consume').send({ cost: 30 }).expect(200);
    expect(ok.body).toEqual({ allowed: true, limit: 40, remaining: 10, reset_seconds: 27_000 });
    expect(fields(ok.headers['ratelimit-policy'])).toEqual({ api: { q: 6000, w: 36_000 }, slow: { q: 40, w: 36_000 } });
    expect(fields(ok.headers['ratelimit'])).toEqual({ api: { r: 5999, t: 6 }, slow: { r: 10, t: 27_000 } });

    const refused = await caller.post('/rate-limits/slow/consume').send({ cost: 11 }).expect(429);
    expect(refused.body).toMatchObject({
      code: 'rate_limited',
      rule: 'slow',
      allowed: false,
      limit: 40,
      remaining: 10,
    });
    const retryAfter = Number(refused.headers['retry-after']);
    expect(retryAfter).toBeGreaterThan(890);
    expect(retryAfter).toBeLessThanOrEqual(900);
    expect(fields(refused.headers['ratelimit'])['slow']).toEqual({ r: 10, t: retryAfter });
    await caller.post('/rate-limits/slow/consume').send({ cost: 41 }).expect(429);
    // A body is not needed.
    expect((await caller.post('/rate-limits/slow/consume').expect(200)).body.remaining).toBe(9);
  });

  it('are changed by the owner from the next call on, and what was consumed stays consumed', async () => {
    const owner = await app.caller('owner');
    const remaining = async (cost: number): Promise<number> =>
      (await owner.post('/rate-limits/slow/consume').send({ cost }).expect(200)).body.remaining;
    expect(await remaining(30)).toBe(10);
    await owner.put('/rate-limits/slow').send({ limit: 50, window_seconds: 36_000 }).expect(200);
    expect(await remaining(1)).toBe(19);
    await owner.put('/rate-limits/slow').send({ limit: 35, window_seconds: 7200 }).expect(200);
    expect(await remaining(1)).toBe(3);
    await owner.put('/rate-limits/slow').send({ limit: 20, window_seconds: 7200 }).expect(200);
    const { body } = await owner.post('/rate-limits/slow/consume').expect(429);
    expect(body).toMatchObject({ limit: 20, remaining: 0 });
    // Where the bucket was, instances that know the old policy are told so for two seconds.
    const former = app.keys.key(owner.projectId as never, 'ratelimit', 'slow', '36000');
    await until(async () => (await app.state.exists(former)) === 0, 'the former key is gone');
    expect(await app.keysOf(owner.projectId)).toEqual(
      ['config:limits', 'ratelimit:api:36000', 'ratelimit:slow:7200'].map((key) => `proj:${owner.projectId}:${key}`),
    );
  });

  it('are listed with what the owner has set, page by page', async () => {
    const owner = await app.caller('owner');
    const put = await owner.put('/rate-limits/upload').send({ limit: 5, window_seconds: 10 }).expect(200);
    expect(put.body).toEqual({ action: 'upload', limit: 5, window_seconds: 10 });
    const first = (await owner.get('/rate-limits?limit=3').expect(200)).body;
    expect(first.items.map(({ action }: { action: string }) => action)).toEqual(['api', 'fast', 'slow']);
    const second = (await owner.get(`/rate-limits?limit=3&cursor=${first.next_cursor}`).expect(200)).body;
    expect(second).toEqual({ items: [{ action: 'upload', limit: 5, window_seconds: 10 }] });
    expect((await owner.get('/rate-limits?limit=101').expect(400)).body.errors[0].field).toBe('limit');
  });

  it('charge a repeated Idempotency-Key once, never replay a refusal, and refuse another body', async () => {
    const caller = await app.caller('editor');
    const consume = (cost: number) =>
      caller.post('/rate-limits/slow/consume').set('Idempotency-Key', 'a').send({ cost });
    await caller.post('/rate-limits/slow/consume').send({ cost: 10 }).expect(200);
    await consume(31).expect(429);
    const first = await consume(20).expect(200);
    expect((await consume(20).expect(200)).body).toEqual(first.body);
    expect((await caller.post('/rate-limits/slow/consume').expect(200)).body.remaining).toBe(9);
    expect((await consume(21).expect(409)).body.code).toBe('conflict');
    const long = await caller.post('/rate-limits/slow/consume').set('Idempotency-Key', 'x'.repeat(129)).expect(400);
    expect(long.body.errors[0].field).toBe('Idempotency-Key');
  });

  it('know no action that nobody gave a policy, refuse bad input, and are consumed by those who write', async () => {
    const editor = await app.caller('editor');
    expect((await editor.post('/rate-limits/unknown/consume').expect(404)).body.code).toBe('not_found');
    const bad = await editor.post('/rate-limits/slow/consume').send({ cost: 0, more: 1 }).expect(400);
    expect(bad.body.errors.map(({ field }: { field: string }) => field).sort()).toEqual(['cost', 'more']);
    await editor.post('/rate-limits/a%3Ab/consume').expect(400);
    await editor.put('/rate-limits/slow').send({ limit: 1, window_seconds: 1 }).expect(403);
    const owner = await app.caller('owner');
    for (const wrong of [{ limit: 0, window_seconds: 1 }, { limit: 1 }, { limit: 1.5, window_seconds: 1 }])
      await owner.put('/rate-limits/slow').send(wrong).expect(400);
    const viewer = await app.caller('viewer');
    await viewer.post('/rate-limits/slow/consume').expect(403);
    await viewer.get('/rate-limits').expect(200);
    await app.anonymous
      .post(`/v1/projects/${newProject()}/rate-limits/slow/consume`)
      .set('Authorization', `Bearer ${owner.token}`)
      .expect(403);
  });

  it('never mint nor lock up when Redis’s clock stepped back', async () => {
    const projectId = newProject();
    await quotas.consumeRate(projectId, 'fast', 3);
    const key = app.keys.key(projectId, 'ratelimit', 'fast', '1');
    const bucket = (await app.state.getBuffer(key))!;
    // As if it had been written before the clock went back by ten minutes.
    bucket.writeDoubleLE(bucket.readDoubleLE(8) + 600_000_000, 8);
    await app.state.set(key, bucket, 'PX', 700_000);
    expect(await allowed(projectId, 'fast')).toBe(false);
    await until(async () => allowed(projectId, 'fast'), 'the bucket refills within its window', 5000);
  });

  it('refuse with 409 a bucket that other programs overwrote, and change nothing', async () => {
    const owner = await app.caller('owner');
    const key = app.keys.key(owner.projectId as never, 'ratelimit', 'slow', '36000');
    await app.state.set(key, 'rubbish', 'EX', 60);
    expect((await owner.post('/rate-limits/slow/consume').expect(409)).body.code).toBe('conflict');
    expect(await app.state.get(key)).toBe('rubbish');
  });
});
