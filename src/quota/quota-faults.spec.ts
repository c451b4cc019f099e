import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

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
});
