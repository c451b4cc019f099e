import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

describe('limits without Redis', () => {
  let app: TestApp;
  let redis: RedisServer;
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'document-api-quota-'));
    redis = await startRedis({ role: 'single', dir, passwords: { admin: 'admin', app: 'app' } });
    app = await TestApp.start({
      servers: { state: redis },
      env: {
        RATE_LIMITS: JSON.stringify({
          api: { limit: 6000, window_seconds: 60 },
          search: { limit: 10, window_seconds: 36_000 },
        }),
      },
    });
    app.state.on('error', () => undefined);
  });
  afterAll(async () => {
    await app.close();
    await redis.stop();
    await rm(dir, { recursive: true });
  });

  it('let rate-limited calls pass and say so, refuse quotas, and count on as before when Redis is back', async () => {
    const owner = await app.caller('owner');
    await owner.post('/rate-limits/search/consume').send({ cost: 4 }).expect(200);
    await owner.post('/quotas/embeddings/consume').send({ amount: 100 }).expect(200);
    await redis.stop();

    const passed = await owner.post('/rate-limits/search/consume').send({ cost: 9 }).expect(200);
    expect(passed.body).toMatchObject({ allowed: true, degraded: true });
    expect(passed.headers['ratelimit']).toBeUndefined();
    for (const call of [
      owner.post('/quotas/embeddings/consume').send({ amount: 1 }),
      owner.post('/quotas/consume').send({ items: [{ resource: 'embeddings', amount: 1 }, { action: 'search' }] }),
      owner.post('/quotas/embeddings/reservations').send({ amount: 1 }),
      owner.get('/quotas/embeddings'),
      owner.put('/rate-limits/search').send({ limit: 1, window_seconds: 1 }),
    ]) {
      const { body, headers } = await call.expect(503);
      expect(body.code).toBe('redis_unavailable');
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    }

    await redis.restart();
    await until(async () => (await owner.get('/quotas/embeddings')).status === 200, 'quotas answer again');
    expect((await owner.get('/quotas/embeddings').expect(200)).body.windows.day.used).toBe(100);
    expect((await owner.post('/rate-limits/search/consume').send({ cost: 6 }).expect(200)).body.remaining).toBe(0);
  });

  it('let rate-limited calls pass when Redis is full, refuse to charge with 507, and still settle and read', async () => {
    const owner = await app.caller('owner');
    const { body } = await owner.post('/quotas/embeddings/reservations').send({ amount: 100 }).expect(201);
    await app.state.config('SET', 'maxmemory', '1mb');
    try {
      const passed = await owner.post('/rate-limits/search/consume').expect(200);
      expect(passed.body).toMatchObject({ allowed: true, degraded: true });
      const refused = await owner.post('/quotas/embeddings/consume').send({ amount: 1 }).expect(507);
      expect(refused.body.code).toBe('storage_full');
      await owner.post('/quotas/embeddings/reservations').send({ amount: 1 }).expect(507);
      const base = `/quotas/embeddings/reservations/${body.reservation_id}`;
      await owner.patch(base).send({ used: 30 }).expect(200);
      await owner.post(`${base}/commit`).send({ amount: 40 }).expect(200);
      expect((await owner.get('/quotas/embeddings').expect(200)).body.windows.day).toMatchObject({ used: 40, held: 0 });
    } finally {
      await app.state.config('SET', 'maxmemory', '0');
    }
    expect((await owner.post('/rate-limits/search/consume').expect(200)).body.remaining).toBe(9);
  });

  it('lose nothing when the scripts are flushed, and send the text of each once, however many calls need it', async () => {
    const owner = await app.caller('owner');
    const consume = () => owner.post('/quotas/embeddings/consume').send({ amount: 10 }).expect(200);
    await consume();
    await app.state.script('FLUSH');
    await app.state.config('RESETSTAT');
    await Promise.all(Array.from({ length: 20 }, consume));
    // One for the guard's script, one for the charge.
    expect(await app.state.info('commandstats')).toContain('cmdstat_eval:calls=2,');
    expect((await owner.get('/quotas/embeddings').expect(200)).body.windows.day.used).toBe(210);
  });

  it('are one script a call, whatever the call asks for, up to 12 rules', async () => {
    const projectId = newProject();
    const quotas = app.get(QuotaService);
    const reservations = app.get(ReservationService);
    const twelve = [
      ...['llm', 'gpu', 'img'].map((resource) => ({ resource, amount: 1 })),
      ...['search', 'api'].map((action) => ({ action, cost: 1 })),
    ];
    for (const { resource } of twelve.filter((item) => 'resource' in item))
      await quotas.put(projectId, resource, {
        limits: { minute: 100, day: 100, month: 100 },
        bucket: { limit: 100, window_seconds: 60 },
      });
    // What the scripts need once: their texts, and the open hold of each step.
    const hold = () => reservations.reserve(projectId, 'llm', 1);
    const [a, b, c] = [await hold(), await hold(), await hold()];
    const calls: Record<string, () => Promise<unknown>> = {
      consume: () => quotas.consumeAll(projectId, twelve),
      peek: () => quotas.peek(projectId, twelve),
      hit: () => quotas.hit(projectId, [{ action: 'api', cost: 1 }]),
      reserve: hold,
      extend: () => reservations.extend(projectId, 'llm', a.id, 1),
      commit: () => reservations.commit(projectId, 'llm', b.id, 1),
      release: () => reservations.release(projectId, 'llm', c.id),
      get: () => quotas.get(projectId, 'llm'),
    };
    const evals = async (): Promise<number[]> => {
      const info = await app.state.info('commandstats');
      return ['evalsha', 'eval'].map((name) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info)?.[1] ?? 0));
    };
    for (const call of Object.values(calls)) await call();
    for (const [name, call] of Object.entries(calls)) {
      await app.state.config('RESETSTAT');
      await call();
      expect(await evals(), name).toEqual([1, 0]);
    }
  });

  it('give their verdict within the deadline while Redis is frozen, as each policy says', async () => {
    const owner = await app.caller('owner');
    await owner
      .put('/rate-limits/strict')
      .send({ limit: 5, window_seconds: 60, on_redis_failure: 'closed' })
      .expect(200);
    await owner
      .put('/quotas/lenient')
      .send({ limits: { day: 5 }, on_redis_failure: 'open' })
      .expect(200);
    const keyed = () => owner.post('/quotas/embeddings/consume').set('Idempotency-Key', 'frozen').send({ amount: 7 });
    process.kill(redis.pid, 'SIGSTOP');
    try {
      const calls = [
        owner.post('/rate-limits/strict/consume').expect(503),
        owner.post('/rate-limits/search/consume').expect(200),
        owner.post('/quotas/lenient/consume').send({ amount: 1 }).expect(200),
        owner.post('/quotas/embeddings/consume').send({ amount: 1 }).expect(503),
        keyed().expect(503),
      ];
      const [, search, lenient] = await Promise.all(calls);
      expect(search!.body).toMatchObject({ allowed: true, degraded: true });
      expect(lenient!.body).toMatchObject({ resource: 'lenient', degraded: true });
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
    await until(async () => (await owner.get('/quotas/lenient')).status === 200, 'quotas answer again');
    // What was on the wire came after its not-after: nothing was charged.
    expect((await owner.get('/quotas/lenient').expect(200)).body.windows.day.used).toBe(0);
    expect((await owner.get('/quotas/embeddings').expect(200)).body.windows.day.used).toBe(0);
    await keyed().expect(200);
    expect((await keyed().expect(200)).body.windows.day.used).toBe(7);
    expect((await owner.get('/quotas/embeddings').expect(200)).body.windows.day.used).toBe(7);
  });
});
