import { IsInt } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { newProject } from '../../../test/support/projects.js';
import { redisCalls } from '../../../test/support/redis-calls.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { RedisConnections } from '../../redis/redis-connections.js';
import { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { CacheKeys } from '../cache.keys.js';
import { CacheService } from '../cache.service.js';
import { EntryType } from './entry-type.js';

class Numbered {
  @IsInt() n!: number;
}
const numbers = new EntryType({ name: 'number', type: Numbered, ttlMs: 60_000, earlyRefresh: 0 });
const hasty = new EntryType({ name: 'hasty', type: Numbered, ttlMs: 1, graceMs: 60_000, earlyRefresh: 0 });

describe('who waits for a load of another process', () => {
  let loading: TestApp;
  let waiting: TestApp;
  beforeAll(async () => {
    loading = await TestApp.start();
    waiting = await TestApp.start();
  });
  afterAll(() => Promise.all([loading.close(), waiting.close()]));

  /** A load of one process for which 20 callers of another wait, parked. */
  async function parked(projectId: ProjectId, type = numbers, own = (): Numbered => ({ n: 2 })) {
    let give!: (value: Numbered) => void;
    let fail!: (error: Error) => void;
    const gate = new Promise<Numbered>((resolve, reject) => {
      give = resolve;
      fail = reject;
    });
    let begun = false;
    const first = loading.get(CacheService).getOrLoad(projectId, type.of('a'), () => {
      begun = true;
      return gate;
    });
    first.catch(() => undefined);
    await until(() => begun, 'the load to begin');
    const before = await redisCalls(waiting);
    const others = Array.from({ length: 20 }, () => waiting.get(CacheService).getOrLoad(projectId, type.of('a'), own));
    const channel = waiting.get(CacheKeys).loaded(projectId, type.name, 'a');
    const held = async (): Promise<boolean> =>
      ((await redisCalls(waiting))['cache.lease'] ?? 0) - (before['cache.lease'] ?? 0) >= 2;
    await until(held, 'the second look');
    const spent = async (op: string): Promise<number> => ((await redisCalls(waiting))[op] ?? 0) - (before[op] ?? 0);
    return { first, others: Promise.all(others), channel, spent, give, fail };
  }

  it('is woken by its end, asks Redis no more than a constant number of times, and leaves nothing behind', async () => {
    const projectId = newProject();
    const { first, others, give, spent, channel } = await parked(projectId);
    give({ n: 1 });
    expect((await first).n).toBe(1);
    expect(new Set((await others).map(({ n }) => n))).toEqual(new Set([1]));
    // A look of each, and one after the load for all of them.
    expect(await spent('cache.read')).toBe(21);
    expect(waiting.get(RedisSubscriber).channelCount).toBe(0);
    await until(
      async () => ((await waiting.state.pubsub('NUMSUB', channel)) as unknown[])[1] === 0,
      'the end of the subscription',
    );
  });

  it('loads itself when that fails, and shares no failure', async () => {
    const { first, others, fail } = await parked(newProject());
    fail(new Error('source is down'));
    await expect(first).rejects.toThrow('source is down');
    expect(new Set((await others).map(({ n }) => n))).toEqual(new Set([2]));
  });

  it('is served a stale value when both fail', async () => {
    const projectId = newProject();
    await loading.get(CacheService).getOrLoad(projectId, hasty.of('a'), () => ({ n: 1 }));
    let asked = 0;
    const down = (): never => {
      asked += 1;
      throw new Error('source is down');
    };
    for (const app of [loading, waiting]) {
      asked = 0;
      await until(async () => {
        await app.get(CacheService).getOrLoad(projectId, hasty.of('a'), down);
        return asked > 0;
      }, 'the value to be stale');
    }
    const { first, others, fail } = await parked(projectId, hasty, down);
    fail(new Error('source is down'));
    expect((await first).n).toBe(1);
    expect(new Set((await others).map(({ n }) => n))).toEqual(new Set([1]));
  });

  it.each([
    ['a delete', (p: ProjectId) => loading.get(CacheService).drop(p, numbers.of('a'))],
    ['an invalidation', (p: ProjectId) => loading.get(CacheService).invalidateAll(p)],
  ] as const)('does not wait for one that %s has overtaken', async (_name, overtake) => {
    const projectId = newProject();
    const { first, others, give } = await parked(projectId);
    await overtake(projectId);
    // The overtaken load goes on meanwhile.
    expect(new Set((await others).map(({ n }) => n))).toEqual(new Set([2]));
    give({ n: 1 });
    expect((await first).n).toBe(2);
  });

  it('finds its end also when the wake-up is lost', async () => {
    const { first, others, give } = await parked(newProject());
    waiting.get(RedisConnections).subscriber.disconnect(true);
    give({ n: 1 });
    await first;
    expect(new Set((await others).map(({ n }) => n))).toEqual(new Set([1]));
  });
});
