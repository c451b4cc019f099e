import { IsInt } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deafen, heardAll, l1Hits, startWithL1 } from '../../test/support/l1.js';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { redisCalls } from '../../test/support/redis-calls.js';
import { until } from '../../test/support/until.js';
import { MetricsRegistry } from '../common/metrics-registry.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { RedisTracking } from '../redis/redis-tracking.js';
import { CacheKeys } from './cache.keys.js';
import { CacheService } from './cache.service.js';
import { EntryType } from './entry/entry-type.js';
import { L1 } from './l1.js';

class Numbered {
  @IsInt() n!: number;
  part?: { m: number };
}
const numbers = new EntryType({ name: 'number', type: Numbered, ttlMs: 60_000, earlyRefresh: 0, l1: true });
const shared = new EntryType({ name: 'shared', type: Numbered, ttlMs: 60_000, earlyRefresh: 0 });
const doc = (version: number) => ({ id: 'a', title: 'A', content: '', version });

describe('values that are kept in the process', () => {
  let app: TestApp;
  let other: TestApp;
  let cache: CacheService;
  let keys: CacheKeys;
  beforeAll(async () => {
    app = await startWithL1();
    other = await TestApp.start();
    cache = app.get(CacheService);
    keys = app.get(CacheKeys);
  });
  afterAll(() => Promise.all([app.close(), other.close()]));

  const load = (projectId: ProjectId, n: number): Promise<Numbered> =>
    cache.getOrLoad(projectId, numbers.of('a'), () => ({ n, part: { m: n } }));
  const version = async (projectId: ProjectId): Promise<number | undefined> =>
    (await cache.get(projectId, 'a'))?.document.version;

  const purge = async (projectId: ProjectId): Promise<void> =>
    app
      .get(PurgeRegistry)
      .hooks.find(({ feature }) => feature === 'cache')!
      .hook(projectId);

  /** A project whose document and entry, both 1, are kept. */
  async function kept(): Promise<ProjectId> {
    const projectId = newProject();
    await cache.put(projectId, doc(1));
    await load(projectId, 1);
    await until(async () => {
      const hits = await l1Hits(app);
      expect(await version(projectId)).toBe(1);
      expect((await load(projectId, 2)).n).toBe(1);
      return (await l1Hits(app)) - hits === 2;
    }, 'both to be kept');
    return projectId;
  }

  it('are given without asking Redis, the same read-only one to everybody', async () => {
    const projectId = await kept();
    const before = await redisCalls(app);
    const [first, second] = [await load(projectId, 2), await load(projectId, 2)];
    const [one, two] = [await cache.get(projectId, 'a'), await cache.get(projectId, 'a')];
    const after = await redisCalls(app);
    expect(after['cache.read']).toBe(before['cache.read']);
    expect(second).toBe(first);
    expect(first).toBeInstanceOf(Numbered);
    expect(() => (first.n = 5)).toThrow(TypeError);
    expect(() => (first.part!.m = 5)).toThrow(TypeError);
    expect(two!.document).toBe(one!.document);
    expect(() => (one!.document.version = 5)).toThrow(TypeError);
    expect(await app.get(MetricsRegistry).registry.metrics()).toMatch(/cache_l1_bytes\{of="documents"\} [1-9]/);
  });

  it('are those of types that ask for it', async () => {
    const projectId = newProject();
    await cache.getOrLoad(projectId, shared.of('a'), () => ({ n: 1 }));
    const hits = await l1Hits(app);
    for (let i = 0; i < 3; i += 1) await cache.getOrLoad(projectId, shared.of('a'), () => ({ n: 2 }));
    expect(await l1Hits(app)).toBe(hits);
  });

  describe('leave at once, whatever Redis says when', () => {
    it.each([
      ['a drop', (p: ProjectId) => cache.drop(p, numbers.of('a')), 1, 2],
      ['a delete', (p: ProjectId) => cache.delete(p, 'a'), undefined, 1],
      ['a put', (p: ProjectId) => cache.put(p, doc(2)), 2, 1],
      ['an invalidation', (p: ProjectId) => cache.invalidateAll(p), undefined, 2],
      ['a purge', (p: ProjectId) => purge(p), undefined, 2],
    ] as const)('with %s of this process', async (_name, change, left, loaded) => {
      const projectId = await kept();
      const hear = deafen(app, 'invalidations');
      try {
        await change(projectId);
        expect(await version(projectId)).toBe(left);
        expect((await load(projectId, 2)).n).toBe(loaded);
      } finally {
        hear();
      }
    });

    it('with the end of their TTL', async () => {
      const projectId = newProject();
      await app.cache.psetex(keys.doc(projectId, 'a'), 200, JSON.stringify(doc(1)));
      await version(projectId);
      expect(await version(projectId)).toBe(1);
      const hear = deafen(app, 'invalidations');
      try {
        await until(async () => (await app.cache.exists(keys.doc(projectId, 'a'))) === 0, 'the end in Redis');
        expect(await version(projectId)).toBeUndefined();
      } finally {
        hear();
      }
    });
  });

  describe('leave when it is heard of', () => {
    it.each([
      ['a SETEX', (p: ProjectId) => app.cache.setex(keys.doc(p, 'a'), 60, JSON.stringify(doc(7))), 7],
      ['a DEL', (p: ProjectId) => app.cache.del(keys.doc(p, 'a')), undefined],
      ['a PEXPIRE', (p: ProjectId) => app.cache.pexpire(keys.doc(p, 'a'), 1), undefined],
      [
        'another kind',
        (p: ProjectId) => app.cache.multi().del(keys.doc(p, 'a')).sadd(keys.doc(p, 'a'), 'x').exec(),
        undefined,
      ],
      ["another process's put", (p: ProjectId) => other.get(CacheService).put(p, doc(7)), 7],
      ["another process's delete", (p: ProjectId) => other.get(CacheService).delete(p, 'a'), undefined],
      ["another process's invalidation", (p: ProjectId) => other.get(CacheService).invalidateAll(p), undefined],
    ] as const)('%s', async (_name, change, left) => {
      const projectId = await kept();
      await change(projectId);
      await heardAll(app);
      await until(async () => (await version(projectId)) === left, 'the new state');
      expect(await version(projectId)).toBe(left);
    });

    it('what a load of another process stored', async () => {
      const projectId = await kept();
      await other.get(CacheService).drop(projectId, numbers.of('a'));
      await other.get(CacheService).getOrLoad(projectId, numbers.of('a'), () => ({ n: 9 }));
      await heardAll(app);
      expect((await load(projectId, 2)).n).toBe(9);
    });
  });

  it('are not kept when the news of a change overtakes the answer that brings them', async () => {
    const projectId = await kept();
    const key = keys.doc(projectId, 'a');
    await app.cache.setex(key, 60, JSON.stringify(doc(2)));
    await heardAll(app);
    const heard = new Promise<void>((resolve) =>
      app.get(RedisTracking).tell({ forget: (name) => name === key && resolve(), forgetAll: () => undefined }),
    );
    const hear = deafen(app, 'reads');
    const reading = version(projectId);
    // Written until Redis says so, since only then it has answered the read.
    let n = 2;
    let told = false;
    void heard.then(() => (told = true));
    await until(async () => {
      if (!told) await app.cache.setex(key, 60, JSON.stringify(doc((n += 1))));
      return told;
    }, 'the news');
    hear();
    const old = await reading;
    expect(old).toBeLessThan(n);
    expect(await version(projectId)).toBe(n);
  });

  it('take a bounded number of bytes: those used last stay', () => {
    const small = new L1<number>(app.get(RedisTracking), 10_000);
    const keep = (key: string, bytes: number): void => {
      const read = small.begin('mark', key)!;
      read.visible(monotonicMs(), 5000);
      read.keep(1, bytes);
      read.end();
    };
    for (let i = 0; i < 100; i += 1) {
      keep(`k${i}`, 1000);
      expect(small.get('mark', 'k0')).toBe(1);
      expect(small.bytes).toBeLessThanOrEqual(10_000);
    }
    expect(small.size).toBeGreaterThan(5);
    expect(small.get('mark', 'k50')).toBeUndefined();
    expect(small.get('mark', 'k99')).toBe(1);
    keep('huge', 10_001);
    expect(small.get('mark', 'huge')).toBeUndefined();
  });
});
