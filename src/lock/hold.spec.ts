import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownRedis } from '../../test/support/own-redis.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { LockKeys } from './lock.keys.js';
import { LockService } from './lock.service.js';

const aborted = (signal: AbortSignal): Promise<unknown> =>
  until(() => signal.aborted, 'the signal', 15_000).then(() => signal.reason as unknown);

describe('a held lock', () => {
  let app: TestApp;
  let locks: LockService;
  beforeAll(async () => {
    app = await TestApp.start();
    locks = app.get(LockService);
  });
  afterAll(() => app.close());

  it('is prolonged past its TTL and freed at the end of the block', async () => {
    const projectId = newProject();
    const key = app.get(LockKeys).lock(projectId, 'a');
    {
      await using lock = await locks.hold(projectId, 'a', { ttlMs: 300, maxHoldMs: 20_000 });
      const granted = await app.state.pexpiretime(key);
      await until(async () => (await app.state.pexpiretime(key)) > granted + 600, 'two prolongations');
      expect(lock.held).toBe(true);
      await expect(locks.acquire(projectId, 'a', { ttlMs: 300 })).rejects.toMatchObject({ code: 'locked' });
    }
    expect(await app.state.exists(key)).toBe(0);
  });

  it('is over after its maximum, however well it was prolonged', async () => {
    const projectId = newProject();
    const lock = await locks.hold(projectId, 'a', { ttlMs: 300, maxHoldMs: 700 });
    const next = locks.acquire(projectId, 'a', { ttlMs: 300, waitMs: 15_000 }).then((grant) => {
      expect(lock.signal.aborted).toBe(true);
      return grant;
    });
    expect(await aborted(lock.signal)).toMatchObject({ code: 'lock_lost' });
    expect(() => lock.assertHeld()).toThrow('lock');
    expect((await next).fence).toBeGreaterThan(lock.fence);
    await lock.release();
  });

  it('says at once that it was lost, and does not free what another holds now', async () => {
    const projectId = newProject();
    const key = app.get(LockKeys).lock(projectId, 'a');
    const lock = await locks.hold(projectId, 'a', { ttlMs: 1000, maxHoldMs: 20_000 });
    await app.state.del(key);
    const other = await locks.acquire(projectId, 'a', { ttlMs: 30_000 });
    expect(await aborted(lock.signal)).toMatchObject({ code: 'lock_lost' });
    await lock.release();
    expect(await app.state.get(key)).toMatch(new RegExp(` ${other.fence}$`));
    await locks.extend(projectId, 'a', other.token, 30_000);
  });

  it('needs a TTL and a maximum', async () => {
    const projectId = newProject();
    for (const [ttlMs, maxHoldMs] of [
      [NaN, 1000],
      [0, 1000],
      [200, 100],
      [200, Infinity],
      [400_000, 500_000],
    ] as const) {
      await expect(locks.hold(projectId, 'a', { ttlMs, maxHoldMs })).rejects.toMatchObject({
        code: 'validation_failed',
      });
    }
  });
});

describe('a held lock when Redis hangs', () => {
  it('is called lost before anyone else can have it, without an answer of Redis', async () => {
    await using server = await ownRedis();
    await using holder = await TestApp.start({ servers: { state: server } });
    await using other = await TestApp.start({ servers: { state: server } });
    const projectId = newProject();
    const lock = await holder.get(LockService).hold(projectId, 'a', { ttlMs: 600, maxHoldMs: 60_000 });
    await server.freeze();
    expect(await aborted(lock.signal)).toMatchObject({ code: 'lock_lost' });
    await expect(other.get(LockService).acquire(projectId, 'a', { ttlMs: 500 })).rejects.toMatchObject({
      code: 'redis_unavailable',
    });
    await server.thaw();
    const next = await until(
      () =>
        other
          .get(LockService)
          .acquire(projectId, 'a', { ttlMs: 500, waitMs: 1000 })
          .catch(() => undefined),
      'the next holder',
    );
    expect(lock.signal.aborted).toBe(true);
    expect(next.fence).toBeGreaterThan(lock.fence);
    await lock.release();
  });

  it('lives through a restart that is shorter than its TTL', async () => {
    await using server = await ownRedis();
    await using app = await TestApp.start({ servers: { state: server } });
    const lock = await app.get(LockService).hold(newProject(), 'a', { ttlMs: 20_000, maxHoldMs: 60_000 });
    await server.restart();
    expect(lock.held).toBe(true);
    await lock.release();
  });

  it('lets who waits go on when Redis is back', async () => {
    await using server = await ownRedis();
    await using app = await TestApp.start({ servers: { state: server } });
    const locks = app.get(LockService);
    const projectId = newProject();
    await locks.acquire(projectId, 'a', { ttlMs: 800 });
    const waiting = locks.acquire(projectId, 'a', { ttlMs: 1000, waitMs: 15_000 });
    await until(async () => (await app.state.zcard(app.get(LockKeys).queue(projectId, 'a'))) === 1, 'the waiter');
    await server.freeze();
    await until(
      () =>
        locks.acquire(projectId, 'b', { ttlMs: 500 }).then(
          () => false,
          () => true,
        ),
      'a Redis that hangs',
    );
    await server.thaw();
    expect((await waiting).fence).toBeGreaterThan(0);
  });
});
