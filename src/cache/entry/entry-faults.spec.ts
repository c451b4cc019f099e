import { IsInt } from 'class-validator';
import { describe, expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { ownRedis } from '../../../test/support/own-redis.js';
import { newProject } from '../../../test/support/projects.js';
import { until } from '../../../test/support/until.js';
import { CacheService } from '../cache.service.js';
import { EntryType } from './entry-type.js';

class Numbered {
  @IsInt() n!: number;
}
const numbers = new EntryType({ name: 'number', type: Numbered, ttlMs: 60_000, earlyRefresh: 0 });

describe('entries when Redis fails', () => {
  it.each(['stopped', 'frozen'] as const)('come from their loader while it is %s, bounded in parallel', async (how) => {
    await using server = await ownRedis();
    await using app = await TestApp.start({ servers: { state: server } });
    const cache = app.get(CacheService);
    const projectId = newProject();
    await cache.getOrLoad(projectId, numbers.of('a'), () => ({ n: 1 }));
    await (how === 'stopped' ? server.stop() : server.freeze());

    let running = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    const loader = async (): Promise<Numbered> => {
      most = Math.max(most, (running += 1));
      await new Promise<void>((resolve) => waiting.push(resolve));
      running -= 1;
      return { n: 2 };
    };
    const ids = Array.from({ length: 40 }, (_, i) => `e${i}`);
    const reads = ids.flatMap((id) => [1, 2].map(() => cache.getOrLoad(projectId, numbers.of(id), loader)));
    const all = Promise.all(reads);
    await until(() => running === 16, 'all places taken');
    let done = false;
    void all.then(() => (done = true));
    await until(() => {
      waiting.splice(0).forEach((open) => open());
      return done;
    }, 'all loads');
    expect(new Set((await all).map(({ n }) => n))).toEqual(new Set([2]));
    expect(most).toBe(16);

    await (how === 'stopped' ? server.restart() : server.thaw());
    await until(async () => {
      await cache.getOrLoad(projectId, numbers.of('b'), () => ({ n: 3 }));
      return (await app.cache.exists(`proj:${projectId}:entry:number:b`).catch(() => 0)) === 1;
    }, 'the return');
  });

  it('are good for who loads them when Redis goes away during the load', async () => {
    await using server = await ownRedis();
    await using app = await TestApp.start({ servers: { state: server } });
    let loads = 0;
    const value = await app.get(CacheService).getOrLoad(newProject(), numbers.of('a'), async () => {
      loads += 1;
      await server.freeze();
      return { n: 1 };
    });
    await server.thaw();
    expect(value.n).toBe(1);
    expect(loads).toBe(1);
  });

  it('are served without being stored when Redis is full', async () => {
    await using server = await ownRedis();
    await using app = await TestApp.start({ servers: { state: server } });
    const cache = app.get(CacheService);
    const projectId = newProject();
    await cache.getOrLoad(projectId, numbers.of('warm'), () => ({ n: 1 }));
    const full = await cache.getOrLoad(projectId, numbers.of('a'), async () => {
      await app.state.config('SET', 'maxmemory', '1mb');
      return { n: 2 };
    });
    expect(full.n).toBe(2);
    expect(await app.state.exists(`proj:${projectId}:entry:number:a`)).toBe(0);
    expect((await cache.getOrLoad(projectId, numbers.of('b'), () => ({ n: 3 }))).n).toBe(3);
    await app.state.config('SET', 'maxmemory', '0');
  });
});
