import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { redisCalls } from '../../test/support/redis-calls.js';
import { dump } from '../../test/support/script-example.js';
import { until } from '../../test/support/until.js';
import { LockKeys } from './lock.keys.js';
import { type Held, LockScripts } from './lock.scripts.js';
import { LockService } from './lock.service.js';

describe('waiting for a lock', () => {
  let apps: TestApp[];
  let locks: LockService[];
  let keys: LockKeys;
  beforeAll(async () => {
    apps = [await TestApp.start(), await TestApp.start()];
    locks = apps.map((app) => app.get(LockService));
    keys = apps[0]!.get(LockKeys);
  });
  afterAll(() => Promise.all(apps.map((app) => app.close())));

  const waiting = (projectId: ProjectId): Promise<number> => apps[0]!.state.zcard(keys.queue(projectId, 'a'));

  /** Lets `count` wait in a known order, in turns at both instances; each notes when it got the lock, and frees it. */
  async function queueUp(projectId: ProjectId, count: number): Promise<{ order: number[]; done: Promise<unknown> }> {
    const order: number[] = [];
    const all: Promise<void>[] = [];
    for (let i = 0; i < count; i += 1) {
      const service = locks[i % locks.length]!;
      all.push(
        service.acquire(projectId, 'a', { ttlMs: 5000, waitMs: 20_000 }).then(async ({ token }) => {
          order.push(i);
          await service.release(projectId, 'a', token);
        }),
      );
      await until(async () => (await waiting(projectId)) === i + 1, 'the next in the queue');
    }
    return { order, done: Promise.all(all) };
  }

  const inOrder = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

  it('gives the lock to twenty waiters of two instances in the order of their arrival, for at most four commands each', async () => {
    const projectId = newProject();
    const holder = await locks[0]!.acquire(projectId, 'a', { ttlMs: 30_000 });
    const before = await Promise.all(apps.map(redisCalls));
    const { order, done } = await queueUp(projectId, 20);
    await locks[0]!.release(projectId, 'a', holder.token);
    await done;
    expect(order).toEqual(inOrder(20));

    const after = await Promise.all(apps.map(redisCalls));
    const spent = (op: string): number =>
      after.reduce((sum, calls, i) => sum + (calls[op] ?? 0) - (before[i]![op] ?? 0), 0);
    // Each asks, claims and frees; the beats are the room's, one for each time that somebody waited for 900 ms.
    expect(spent('lock.acquire')).toBe(40);
    expect(spent('lock.release')).toBe(21);
    expect(spent('lock.extend')).toBe(0);
  });

  it('never lets a newcomer pass those who wait', async () => {
    const projectId = newProject();
    const holder = await locks[0]!.acquire(projectId, 'a', { ttlMs: 30_000 });
    const { order, done } = await queueUp(projectId, 1);
    await locks[0]!.release(projectId, 'a', holder.token);
    const outcome = await locks[1]!.acquire(projectId, 'a', { ttlMs: 5000 }).then(
      () => (order.length === 1 ? 'after the waiter' : 'passed it'),
      (error: unknown) => (isAppError(error, 'locked') ? 'refused' : error),
    );
    await done;
    expect(['refused', 'after the waiter']).toContain(outcome);
  });

  it('passes a dead waiter over, and keeps the order of the others', async () => {
    const projectId = newProject();
    const holder = await locks[0]!.acquire(projectId, 'a', { ttlMs: 30_000 });
    // It queues up and is never heard of again, as a killed process.
    await apps[0]!.get(LockScripts).acquire(projectId, 'a', 'dead', 5000, true);
    await until(async () => (await waiting(projectId)) === 1, 'the dead one in the queue');
    const order: number[] = [];
    const all = inOrder(4).map(async (i) => {
      await until(async () => (await waiting(projectId)) >= i + 1, 'its turn to queue up');
      const service = locks[i % 2]!;
      const { token } = await service.acquire(projectId, 'a', { ttlMs: 5000, waitMs: 20_000 });
      order.push(i);
      await service.release(projectId, 'a', token);
    });
    await until(async () => (await waiting(projectId)) === 5, 'all in the queue');
    await locks[0]!.release(projectId, 'a', holder.token);
    await Promise.all(all);
    expect(order).toEqual(inOrder(4));
  });

  it('goes on in order when the holder dies: its TTL hands over', async () => {
    const projectId = newProject();
    await locks[0]!.acquire(projectId, 'a', { ttlMs: 1000 });
    const { order, done } = await queueUp(projectId, 6);
    await done;
    expect(order).toEqual(inOrder(6));
  });

  it('needs no wake-up to go on in order: a beat finds the turn', async () => {
    const projectId = newProject();
    const holder = await locks[0]!.acquire(projectId, 'a', { ttlMs: 30_000 });
    const { order, done } = await queueUp(projectId, 2);
    // The hand-over as it is when its message is lost: the lock is the first waiter's, and nobody was told.
    const state = apps[0]!.state;
    const [first] = await state.zrange(keys.queue(projectId, 'a'), '0', '0');
    await state.zrem(keys.queue(projectId, 'a'), first!);
    await state.zrem(keys.alive(projectId, 'a'), first!);
    await state.psetex(keys.lock(projectId, 'a'), 1500, `${first!} ${holder.fence + 1}`);
    await done;
    expect(order).toEqual([0, 1]);
  });

  it('keeps its place when it was handed the lock and could not claim it in time', async () => {
    const projectId = newProject();
    const holder = await locks[0]!.acquire(projectId, 'a', { ttlMs: 30_000 });
    const { order, done } = await queueUp(projectId, 3);
    // Given up as dead, as after a pause of its process: its beat brings it back to its place.
    const [first] = await apps[0]!.state.zrange(keys.queue(projectId, 'a'), '0', '0');
    await apps[0]!.state.zrem(keys.queue(projectId, 'a'), first!);
    await until(async () => (await waiting(projectId)) === 3, 'its return');
    await locks[0]!.release(projectId, 'a', holder.token);
    await done;
    expect(order).toEqual([0, 1, 2]);
  });

  it('ends with 423 after its time, leaves the queue, and gives back what it was handed just then', async () => {
    const projectId = newProject();
    const holder = await locks[0]!.acquire(projectId, 'a', { ttlMs: 30_000 });
    await expect(locks[1]!.acquire(projectId, 'a', { ttlMs: 5000, waitMs: 50 })).rejects.toMatchObject({
      code: 'locked',
    });
    expect(await waiting(projectId)).toBe(0);
    const aborted = new AbortController();
    const gone = locks[1]!.acquire(projectId, 'a', { ttlMs: 5000, waitMs: 20_000, signal: aborted.signal });
    await until(async () => (await waiting(projectId)) === 1, 'the waiter');
    aborted.abort();
    await expect(gone).rejects.toMatchObject({ code: 'locked' });
    await locks[0]!.release(projectId, 'a', holder.token);
    await expect(locks[0]!.acquire(projectId, 'a', { ttlMs: 5000 })).resolves.toBeTruthy();
  });

  it('changes nothing when a key of the waiting room is of another kind', async () => {
    const state = apps[0]!.state;
    for (const part of ['queue', 'alive'] as const) {
      const projectId = newProject();
      const scripts = apps[0]!.get(LockScripts);
      await scripts.acquire(projectId, 'a', 'holder', 30_000, false);
      await scripts.acquire(projectId, 'a', 'waiter', 30_000, true);
      await state.del(keys[part](projectId, 'a'));
      await state.sadd(keys[part](projectId, 'a'), 'no script uses sets');
      const before = await dump(apps[0]!, projectId);
      const conflict = { code: 'conflict' };
      await expect(scripts.acquire(projectId, 'a', 'another', 30_000, true)).rejects.toMatchObject(conflict);
      await expect(scripts.release(projectId, 'a', 'holder')).rejects.toMatchObject(conflict);
      expect(await dump(apps[0]!, projectId), part).toEqual(before);
    }
  });

  it('takes the value of another program, which has no end, for no turn', async () => {
    const projectId = newProject();
    const scripts = apps[0]!.get(LockScripts);
    await apps[0]!.state.set(keys.lock(projectId, 'a'), 'of another program');
    const { leftMs, place } = (await scripts.acquire(projectId, 'a', 'waiter', 1000, true)) as Held;
    expect(leftMs).toBeGreaterThan(0);
    expect((await scripts.beat(projectId, [{ name: 'a', owner: 'waiter', place }]))[0]).toBeGreaterThan(0);
  });

  it('leaves no key without a TTL', async () => {
    const projectId = newProject();
    await locks[0]!.acquire(projectId, 'a', { ttlMs: 500 });
    const { done } = await queueUp(projectId, 2);
    for (const key of await apps[0]!.keysOf(projectId)) expect(await apps[0]!.state.pttl(key), key).not.toBe(-1);
    await done;
  });
});
