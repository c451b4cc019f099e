import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { redisCalls } from '../../test/support/redis-calls.js';
import { dump } from '../../test/support/script-example.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { CacheEpoch } from './cache-epoch.js';
import { CacheKeys } from './cache.keys.js';
import { CacheService } from './cache.service.js';
import { CacheSweeper } from './cache.sweeper.js';

const doc = (id: string, version = 1) => ({ id, title: `${id} ${version}`, content: '', version });

describe.each(['one', 'two'] as const)('invalidating all documents of a project on %s Redis server(s)', (redis) => {
  let app: TestApp;
  let cache: CacheService;
  let keys: CacheKeys;
  beforeAll(async () => {
    app = await TestApp.start({ redis });
    cache = app.get(CacheService);
    keys = app.get(CacheKeys);
  });
  afterAll(() => app.close());

  /** Keeps every sweeper away, as if another process were at it. @returns what lets them go on. */
  async function holdSweep(projectId: ProjectId): Promise<() => Promise<void>> {
    await app.cache.setex(keys.sweeping(projectId), 60, 'the test');
    return async () => {
      await app.cache.del(keys.sweeping(projectId));
      app.get(CacheSweeper).sweep(projectId);
    };
  }

  async function swept(projectId: ProjectId): Promise<void> {
    await until(async () => (await app.cache.get(keys.epoch(projectId)))?.startsWith('clean'), 'the end of the sweep');
    await until(async () => (await app.cache.exists(keys.sweeping(projectId))) === 0, 'the release of the claim');
  }

  /** Another program's write. */
  function foreign(projectId: ProjectId, id: string, version = 1): Promise<unknown> {
    return app.cache.setex(keys.doc(projectId, id), 60, JSON.stringify(doc(id, version)));
  }

  it('hides every one at once from every process, though the bytes still stand', async () => {
    await using other = await TestApp.start({ redis });
    const owner = await app.caller('owner');
    const projectId = owner.projectId as ProjectId;
    for (const id of ['a', 'b', 'c']) await cache.put(projectId, doc(id));
    await foreign(projectId, 'd');
    expect(await other.get(CacheService).get(projectId, 'a')).toBeDefined();

    const resume = await holdSweep(projectId);
    await owner.delete('/documents').expect(204);
    for (const reader of [cache, other.get(CacheService)]) {
      for (const id of ['a', 'b', 'c', 'd']) expect(await reader.get(projectId, id), id).toBeUndefined();
      expect(await reader.getVersion(projectId, 'a', 1)).toBeUndefined();
    }
    expect(await app.cache.exists(keys.doc(projectId, 'a'), keys.doc(projectId, 'd'))).toBe(2);

    await resume();
    await swept(projectId);
    expect((await app.keysOf(projectId)).filter((key) => key.includes(':doc:'))).toEqual([]);
  });

  it('shows at once what is put afterwards, whatever was there, and the sweep spares it', async () => {
    const projectId = newProject();
    await cache.put(projectId, doc('a', 9));
    await foreign(projectId, 'b', 9);
    const resume = await holdSweep(projectId);
    await cache.invalidateAll(projectId);
    for (const id of ['a', 'b', 'c']) {
      await cache.put(projectId, doc(id, 2));
      expect((await cache.get(projectId, id))?.document).toEqual(doc(id, 2));
      expect((await cache.getVersion(projectId, id, 2))?.document).toEqual(doc(id, 2));
      await expect(cache.put(projectId, doc(id, 1))).rejects.toMatchObject({ code: 'conflict' });
    }
    expect(await cache.getVersion(projectId, 'a', 9)).toBeUndefined();

    await resume();
    await swept(projectId);
    for (const id of ['a', 'b', 'c']) {
      expect((await cache.get(projectId, id))?.document).toEqual(doc(id, 2));
      expect((await cache.getVersion(projectId, id, 2))?.document).toEqual(doc(id, 2));
    }
    expect(await app.cache.exists(keys.version(projectId, 'a', 9))).toBe(0);
    await cache.delete(projectId, 'a');
    expect(await cache.getVersion(projectId, 'a', 2)).toBeUndefined();
  });

  it('hides again what was put between two invalidations', async () => {
    const projectId = newProject();
    const resume = await holdSweep(projectId);
    await cache.invalidateAll(projectId);
    await cache.put(projectId, doc('a'));
    await Promise.all([cache.invalidateAll(projectId), cache.invalidateAll(projectId)]);
    expect(await cache.get(projectId, 'a')).toBeUndefined();
    await resume();
    await swept(projectId);
    expect(await cache.get(projectId, 'a')).toBeUndefined();
  });

  it('shows again what other programs write once the sweep has passed', async () => {
    const projectId = newProject();
    await foreign(projectId, 'a', 1);
    await cache.invalidateAll(projectId);
    await swept(projectId);
    await foreign(projectId, 'a', 2);
    expect((await cache.get(projectId, 'a'))?.document.version).toBe(2);
  });

  it('changes no byte of another project', async () => {
    const [mine, others] = [newProject(), newProject()];
    for (const projectId of [mine, others]) {
      for (let i = 0; i < 50; i += 1) await cache.put(projectId, doc(`d${i}`));
    }
    const before = await dump(app, others);
    await cache.invalidateAll(mine);
    await swept(mine);
    expect(await dump(app, others)).toEqual(before);
    expect((await cache.get(others, 'd7'))?.document).toEqual(doc('d7'));
  });

  it('spares what is not a document', async () => {
    const projectId = newProject();
    const session = `proj:${projectId}:session:x`;
    await app.cache.setex(session, 60, 'x');
    await cache.put(projectId, doc('a'));
    await cache.invalidateAll(projectId);
    await swept(projectId);
    expect(await app.cache.exists(session)).toBe(1);
  });

  it('is taken over by the next reader when the process that swept is gone', async () => {
    const projectId = newProject();
    await foreign(projectId, 'a');
    await app.state.setex(keys.epoch(projectId), 60, 'dirty:6');
    await app.cache.setex(keys.epoch(projectId), 60, 'dirty:6');
    expect(await cache.get(projectId, 'a')).toBeUndefined();
    await swept(projectId);
    expect(await app.cache.exists(keys.doc(projectId, 'a'))).toBe(0);
  });

  it('never lets a read that starts afterwards see what was put before, in any order of writers, sweeps and invalidations', async () => {
    const projectId = newProject();
    for (let round = 1; round <= 150; round += 1) {
      await Promise.all([
        cache.put(projectId, doc('a', round * 10)),
        foreign(projectId, 'b', round * 10),
        cache.get(projectId, 'a'),
        round % 3 === 0 ? cache.invalidateAll(projectId) : cache.delete(projectId, 'c'),
      ]);
      await cache.invalidateAll(projectId);
      const reads = [
        cache.get(projectId, 'a'),
        cache.get(projectId, 'b'),
        cache.getVersion(projectId, 'a', round * 10),
      ];
      expect(await Promise.all(reads)).toEqual([undefined, undefined, undefined]);
      await cache.put(projectId, doc('a', round));
      expect((await cache.get(projectId, 'a'))?.document.version).toBe(round);
      if (round % 5 === 0) await swept(projectId);
      expect((await cache.get(projectId, 'a'))?.document.version).toBe(round);
    }
    await swept(projectId);
    expect((await cache.get(projectId, 'a'))?.document.version).toBe(150);
  });

  it('is what the purge of a project does at once, and its mark outlives the documents', async () => {
    const projectId = newProject();
    const purge = app.get(PurgeRegistry).hooks.find(({ feature }) => feature === 'cache')!;
    await cache.put(projectId, doc('a'));
    for (let time = 0; time < 2; time += 1) {
      await purge.hook(projectId);
      expect(await cache.get(projectId, 'a')).toBeUndefined();
    }
    expect(purge.last(projectId)).toEqual([keys.epoch(projectId)]);
  });

  it('leaves no mark behind a purge that took it during the sweep', async () => {
    const projectId = newProject();
    await app.get(CacheEpoch).invalidate(projectId);
    const { epoch } = await app.get(CacheEpoch).reconcile(projectId);
    for (const server of [app.state, app.cache]) await server.del(keys.epoch(projectId));
    await app.get(CacheEpoch).settle(projectId, epoch);
    await app.get(CacheEpoch).reconcile(projectId);
    expect(await app.keysOf(projectId)).toEqual([]);
  });
});

describe('the mark of the epoch', () => {
  let app: TestApp;
  let cache: CacheService;
  let keys: CacheKeys;
  beforeAll(async () => {
    app = await TestApp.start();
    cache = app.get(CacheService);
    keys = app.get(CacheKeys);
  });
  afterAll(() => app.close());

  it('is read from the state server when the cache server has evicted its copy', async () => {
    const projectId = newProject();
    await app.cache.setex(keys.doc(projectId, 'a'), 60, JSON.stringify(doc('a')));
    await app.cache.setex(keys.sweeping(projectId), 60, 'the test');
    await cache.invalidateAll(projectId);
    await app.cache.del(keys.epoch(projectId), keys.fresh(projectId));
    expect(await cache.get(projectId, 'a')).toBeUndefined();
    await app.cache.del(keys.epoch(projectId));
    await cache.put(projectId, doc('b'));
    expect(await cache.get(projectId, 'b')).toBeDefined();
    expect(await cache.get(projectId, 'a')).toBeUndefined();
  });

  it('survives on the cache server when the state server lost its last writes', async () => {
    const projectId = newProject();
    await app.cache.setex(keys.doc(projectId, 'a'), 60, JSON.stringify(doc('a')));
    await app.cache.setex(keys.sweeping(projectId), 60, 'the test');
    await cache.invalidateAll(projectId);
    await app.state.del(keys.epoch(projectId));
    expect(await cache.get(projectId, 'a')).toBeUndefined();
    await app.cache.del(keys.sweeping(projectId));
    app.get(CacheSweeper).sweep(projectId);
    await until(async () => (await app.cache.get(keys.epoch(projectId)))?.startsWith('clean'), 'the end of the sweep');
    expect(await app.cache.exists(keys.doc(projectId, 'a'))).toBe(0);
  });

  it('moves beyond a copy that is ahead of a lost truth', async () => {
    const projectId = newProject();
    await app.cache.setex(keys.doc(projectId, 'a'), 60, JSON.stringify(doc('a')));
    await app.cache.setex(keys.epoch(projectId), 60, 'clean:9000000000000000');
    expect(await cache.get(projectId, 'a')).toBeDefined();
    await cache.invalidateAll(projectId);
    expect(await cache.get(projectId, 'a')).toBeUndefined();
  });

  it('costs an invalidation two calls, however many documents there are', async () => {
    await using quiet = await TestApp.start();
    const projectId = newProject();
    for (let i = 0; i < 50; i += 1) await cache.put(projectId, doc(`d${i}`));
    const before = await redisCalls(quiet);
    await quiet.get(CacheEpoch).invalidate(projectId);
    const after = await redisCalls(quiet);
    const total = (calls: Record<string, number>): number => Object.values(calls).reduce((sum, n) => sum + n, 0);
    expect(total(after) - total(before)).toBe(2);
  });
});
