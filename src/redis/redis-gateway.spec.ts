import { describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { TcpProxy } from '../../test/support/tcp-proxy.js';
import { until } from '../../test/support/until.js';
import type { AppError } from '../common/app-error.js';
import { KeyError } from './key-builder.js';
import { RedisConnections } from './redis-connections.js';
import { BreakerOpen, RedisTimeout } from './redis-errors.js';
import { RedisGateway } from './redis-gateway.js';

/** One write through the gateway. @returns `ok`, or the error. */
function put(app: TestApp, value = 'x'): Promise<'ok' | AppError> {
  const key = app.keys.key(newProject(), 'a');
  return app
    .get(RedisGateway)
    .call('state', 'test.put', (client) => client.set(key, value, 'EX', 60))
    .then(
      () => 'ok' as const,
      (error: unknown) => error as AppError,
    );
}

const cause = (outcome: 'ok' | AppError): unknown => (outcome === 'ok' ? outcome : outcome.details.cause);
const works = (app: TestApp): Promise<unknown> =>
  until(async () => (await put(app)) === 'ok', 'a call that works again');

describe('a call to Redis', () => {
  it('gives up at its deadline while Redis hangs; the breaker then answers at once, and closes after', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const gateway = app.get(RedisGateway);
    expect(await put(app)).toBe('ok');

    await redis.freeze();
    const outcomes = await Promise.all([put(app), put(app), put(app)]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ code: 'redis_unavailable', op: 'test.put', retryable: true });
      expect(cause(outcome)).toBeInstanceOf(RedisTimeout);
    }
    expect(gateway.broken('state')).toBe(true);
    // All at once, so that at most one of them can be the probe.
    const refused = (await Promise.all(Array.from({ length: 50 }, () => put(app)))).map(cause);
    expect(refused.filter((error) => error instanceof BreakerOpen).length).toBeGreaterThanOrEqual(49);

    await redis.thaw();
    await works(app);
    expect(gateway.broken('state')).toBe(false);
  });

  it('works again after a freeze that outlived the connection, with nothing left hanging', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const { state } = app.get(RedisConnections);
    await redis.freeze();
    const raw = Array.from({ length: 20 }, () => state.get(app.keys.key(newProject(), 'a')));
    expect(await put(app)).toMatchObject({ code: 'redis_unavailable' });
    // The commands themselves settle when the silent link is destroyed; a promise that never did would end this test.
    const settled = await Promise.allSettled(raw);
    expect(settled.every(({ status }) => status === 'rejected')).toBe(true);
    await redis.thaw();
    await works(app);
  });

  it('survives a half-open link: silence on a connection that stays up', async () => {
    await using redis = await ownRedis();
    await using proxy = await TcpProxy.to(redis.port);
    const server = { appUrl: proxy.through(redis.appUrl), adminUrl: redis.adminUrl };
    await using app = await TestApp.start({ servers: { state: server } });
    expect(await put(app)).toBe('ok');
    const before = proxy.accepted;
    proxy.swallow = true;
    expect(await put(app)).toMatchObject({ code: 'redis_unavailable' });
    // New links are dumb, too: the handshake must not hang for ever either.
    await until(async () => proxy.accepted > before + 2, 'attempts to connect');
    proxy.swallow = false;
    await works(app);
  });

  it('keeps idle connections, however long nothing is asked', async () => {
    await using redis = await ownRedis();
    await using proxy = await TcpProxy.to(redis.port);
    const server = { appUrl: proxy.through(redis.appUrl), adminUrl: redis.adminUrl };
    await using app = await TestApp.start({ servers: { state: server } });
    const { state } = app.get(RedisConnections);
    const before = proxy.accepted;
    const since = Number(await idleSeconds(app, 'state'));
    expect(since).toBeLessThan(3);
    // Longer than a link may be silent that owes an answer; Redis counts the seconds.
    await until(async () => Number(await idleSeconds(app, 'state')) >= 3, 'three idle seconds');
    expect([state.status, proxy.accepted]).toEqual(['ready', before]);
    expect(await put(app)).toBe('ok');
  });

  it('says that the server is full, and goes on when there is room', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    await app.state.config('SET', 'maxmemory', '1mb');
    expect(await put(app)).toMatchObject({ code: 'storage_full', status: 507, retryable: true });
    expect(app.get(RedisGateway).broken('state')).toBe(false);
    await app.state.config('SET', 'maxmemory', '0');
    expect(await put(app)).toBe('ok');
  });

  it('tells a key of another kind from a bug, and counts neither as a failure of Redis', async () => {
    await using app = await TestApp.start();
    const gateway = app.get(RedisGateway);
    const key = app.keys.key(newProject(), 'a');
    await app.state.set(key, 'text', 'EX', 60);
    for (let i = 0; i < 5; i += 1) {
      await expect(gateway.call('state', 'test.wrong', (client) => client.lpop(key))).rejects.toMatchObject({
        code: 'conflict',
      });
      await expect(
        gateway.call('state', 'test.bug', () => {
          throw new KeyError('not a part');
        }),
      ).rejects.toMatchObject({ code: 'internal_error' });
      await expect(gateway.call('state', 'test.refused', (client) => client.call('KEYS', '*'))).rejects.toMatchObject({
        code: 'internal_error',
      });
    }
    expect(gateway.broken('state')).toBe(false);
  });
});

/** Seconds since the product's connection of that role last sent a command, as Redis counts them. */
async function idleSeconds(app: TestApp, role: string): Promise<string | undefined> {
  const clients = String(await app.state.client('LIST')).split('\n');
  return clients.find((line) => line.includes(`name=document-api:${role} `))?.match(/ idle=(\d+)/)?.[1];
}
