import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

describe('health', () => {
  let dir: string;
  let state: RedisServer;
  let cache: RedisServer;
  const passwords = { admin: 'admin-of-the-health-test', app: 'app-of-the-health-test' };
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'document-api-health-'));
    state = await startRedis({ role: 'state', dir: join(dir, 'state'), passwords });
    cache = await startRedis({ role: 'cache', dir: join(dir, 'cache'), passwords });
  });
  afterAll(async () => {
    await Promise.all([state.stop(), cache.stop()]);
    await rm(dir, { recursive: true, force: true });
  });

  it('says that it lives and is ready, with what it knows of each server and nothing of where it is', async () => {
    await using app = await TestApp.start({ servers: { state, cache } });
    expect((await app.anonymous.get('/health/live').expect(200)).body).toEqual({ status: 'ok' });
    const { body, text } = await app.anonymous.get('/health/ready').expect(200);
    expect(body).toEqual({
      status: 'ok',
      redis: {
        state: {
          status: 'ok',
          version: expect.stringMatching(/^\d+\.\d+/),
          eviction_policy: 'noeviction',
          persistence: { aof: true, healthy: true },
        },
        cache: {
          status: 'ok',
          version: expect.stringMatching(/^\d+\.\d+/),
          eviction_policy: 'allkeys-lru',
          persistence: { aof: false, healthy: true },
        },
        subscriber: { status: 'ok' },
      },
    });
    for (const secret of [passwords.app, '127.0.0.1', 'redis:', String(state.port), String(cache.port)]) {
      expect(text).not.toContain(secret);
    }
  });

  it('is degraded, with the reason, when the state server may evict', async () => {
    await using app = await TestApp.start({ servers: { state: cache } });
    const { body } = await app.anonymous.get('/health/ready').expect(200);
    expect(body).toMatchObject({ status: 'degraded', redis: { state: { status: 'degraded' } } });
    expect(body.redis.state.reason).toContain('allkeys-lru');
    expect(body.redis.cache).toEqual(body.redis.state);
  });

  it('is degraded while the cache server is away, and ok again after', async () => {
    await using app = await TestApp.start({ servers: { state, cache } });
    const ready = () => app.anonymous.get('/health/ready');
    await cache.kill();
    await until(async () => (await ready()).body.status === 'degraded', 'degraded');
    expect((await ready().expect(200)).body.redis).toMatchObject({
      state: { status: 'ok' },
      cache: { status: 'down', reason: 'no answer in time' },
    });
    await cache.restart();
    await until(async () => (await ready()).body.status === 'ok', 'ok again');
  });

  it('is down while the state server hangs, lives on, and is ok again after', async () => {
    await using app = await TestApp.start({ servers: { state, cache } });
    const ready = () => app.anonymous.get('/health/ready');
    await ready().expect(200);
    await state.freeze();
    try {
      await until(async () => (await ready()).status === 503, 'down');
      expect((await ready().expect(503)).body).toMatchObject({
        status: 'down',
        redis: { state: { status: 'down' }, cache: { status: 'ok' } },
      });
      await app.anonymous.get('/health/live').expect(200);
    } finally {
      await state.thaw();
    }
    await until(async () => (await ready()).body.status === 'ok', 'ok again');
  });
});
