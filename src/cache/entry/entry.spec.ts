import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { IsInt, IsString } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { newProject } from '../../../test/support/projects.js';
import { redisCalls } from '../../../test/support/redis-calls.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { CacheKeys } from '../cache.keys.js';
import { CacheService } from '../cache.service.js';
import { LoadTimeout } from './entry-loads.js';
import { EntryType } from './entry-type.js';

class Outline {
  @IsString() text!: string;
  @IsInt() n!: number;
}
const outlines = new EntryType({ name: 'outline', type: Outline, ttlMs: 60_000, earlyRefresh: 0 });
const hasty = new EntryType({ name: 'hasty', type: Outline, ttlMs: 1, graceMs: 60_000, earlyRefresh: 0 });

describe('entries of the cache', () => {
  let app: TestApp;
  let cache: CacheService;
  let keys: CacheKeys;
  beforeAll(async () => {
    app = await TestApp.start();
    cache = app.get(CacheService);
    keys = app.get(CacheKeys);
  });
  afterAll(() => app.close());

  const key = (projectId: ProjectId, type = 'outline'): string => keys.entry(projectId, type, 'a');
  const value = (n: number, text = 'text'): Outline => ({ text, n });
  const never = (): never => {
    throw new Error('must not be loaded');
  };
  /** A load that the test lets go on, and the moment in which it began. */
  function gate<T>(result: T): { loader: () => Promise<T>; begun: Promise<void>; open: () => void; calls: number } {
    let begin = (): void => undefined;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const self = {
      calls: 0,
      begun: new Promise<void>((resolve) => (begin = resolve)),
      open,
      loader: async () => {
        self.calls += 1;
        begin();
        await opened;
        return result;
      },
    };
    return self;
  }

  it('are loaded once and then read with one command, as instances of their class', async () => {
    const projectId = newProject();
    const first = await cache.getOrLoad(projectId, outlines.of('a'), () => value(1));
    expect(first).toBeInstanceOf(Outline);
    const before = await redisCalls(app);
    expect(await cache.getOrLoad(projectId, outlines.of('a'), never)).toEqual(value(1));
    const after = await redisCalls(app);
    const spent = Object.entries(after).filter(([op, count]) => op.startsWith('cache.') && count !== before[op]);
    expect(spent).toEqual([['cache.read', before['cache.read']! + 1]]);
  });

  it('cost a miss three round trips beside the loader', async () => {
    const projectId = newProject();
    await cache.getOrLoad(projectId, outlines.of('warm'), () => value(1));
    const before = await redisCalls(app);
    await cache.getOrLoad(projectId, outlines.of('a'), () => value(1));
    const after = await redisCalls(app);
    const spent = ['cache.read', 'cache.lease', 'cache.fill', 'cache.type', 'cache.epoch'].map(
      (op) => (after[op] ?? 0) - (before[op] ?? 0),
    );
    expect(spent).toEqual([1, 1, 1, 0, 0]);
  });

  it('are loaded once for all callers of the process, and never for another project', async () => {
    const projectId = newProject();
    const load = gate(value(1));
    const all = Array.from({ length: 50 }, () => cache.getOrLoad(projectId, outlines.of('a'), load.loader));
    const other = await cache.getOrLoad(newProject(), outlines.of('a'), () => value(2));
    await load.begun;
    load.open();
    expect(new Set((await Promise.all(all)).map(({ n }) => n))).toEqual(new Set([1]));
    expect(other.n).toBe(2);
    expect(load.calls).toBe(1);
  });

  it('end with their TTL, which is mandatory and spread', async () => {
    const projectId = newProject();
    await cache.getOrLoad(projectId, outlines.of('a'), () => value(1));
    for (const at of [key(projectId), keys.meta(projectId, 'outline', 'a')]) {
      const ttl = await app.cache.pttl(at);
      expect(ttl).toBeGreaterThan(55_000);
      expect(ttl).toBeLessThanOrEqual(63_000);
    }
    for (const ttlMs of [NaN, 0, -1, 1.5, Infinity, undefined as unknown as number]) {
      expect(() => new EntryType({ name: 'x', type: Outline, ttlMs })).toThrow(/ttlMs/);
      await expect(cache.getOrLoad(projectId, outlines.of('b'), never, { ttlMs })).rejects.toThrow(/ttlMs/);
    }
    expect(await app.keysOf(projectId)).not.toContain(keys.lease(projectId, 'outline', 'a'));
  });

  it('serve a stale value when their loader fails or is slow, and the error where there is none', async () => {
    const projectId = newProject();
    const entry = hasty.of('a');
    const fail = (): never => {
      throw new Error('source is down');
    };
    await expect(cache.getOrLoad(projectId, entry, fail)).rejects.toThrow('source is down');
    await cache.getOrLoad(projectId, entry, () => value(1));
    expect(await cache.getOrLoad(projectId, entry, fail)).toEqual(value(1));

    const slow = gate(value(2));
    expect(await cache.getOrLoad(projectId, entry, slow.loader, { softTimeoutMs: 10 })).toEqual(value(1));
    slow.open();
    // The lease of the load that failed may have been in the way; whoever asks next loads.
    await until(async () => {
      await cache.getOrLoad(projectId, entry, slow.loader, { softTimeoutMs: 10 });
      return (await app.cache.get(key(projectId, 'hasty'))) === JSON.stringify(value(2));
    }, 'the load');
  });

  it('fail after their hard time-out, tell their loader, and drop what it still gives', async () => {
    const projectId = newProject();
    let told = false;
    const loader = (signal: AbortSignal): Promise<Outline> =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          told = true;
          resolve(value(1));
        }),
      );
    await expect(cache.getOrLoad(projectId, outlines.of('a'), loader, { hardTimeoutMs: 30 })).rejects.toThrow(
      LoadTimeout,
    );
    expect(told).toBe(true);
    expect(await app.cache.exists(key(projectId))).toBe(0);
    expect(await cache.getOrLoad(projectId, outlines.of('a'), () => value(2))).toEqual(value(2));
  });

  describe('whose load is overtaken', () => {
    it.each([
      ['a delete', (projectId: ProjectId) => cache.drop(projectId, outlines.of('a'))],
      ['an invalidation of the project', (projectId: ProjectId) => cache.invalidateAll(projectId)],
    ] as const)('by %s are loaded again', async (_name, overtake) => {
      const projectId = newProject();
      const old = gate(value(1));
      let loads = 0;
      const loader = (): Promise<Outline> | Outline => (++loads === 1 ? old.loader() : value(2));
      const reading = cache.getOrLoad(projectId, outlines.of('a'), loader);
      await old.begun;
      await overtake(projectId);
      const later = cache.getOrLoad(projectId, outlines.of('a'), loader);
      old.open();
      expect(await later).toEqual(value(2));
      expect(await reading).toEqual(value(2));
      expect(await cache.getOrLoad(projectId, outlines.of('a'), never)).toEqual(value(2));
    });

    it('by a foreign SETEX show what it wrote', async () => {
      const projectId = newProject();
      const old = gate(value(1));
      const reading = cache.getOrLoad(projectId, outlines.of('a'), old.loader);
      await old.begun;
      await app.cache.setex(key(projectId), 60, JSON.stringify(value(7)));
      old.open();
      expect(await reading).toEqual(value(7));
      expect(await cache.getOrLoad(projectId, outlines.of('a'), never)).toEqual(value(7));
    });
  });

  it('take what others write, check it, and load what is none', async () => {
    const projectId = newProject();
    await cache.getOrLoad(projectId, outlines.of('a'), () => value(1));
    await app.cache.setex(key(projectId), 60, JSON.stringify(value(2)));
    expect(await cache.getOrLoad(projectId, outlines.of('a'), never)).toEqual(value(2));
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 'a'));
    for (const rot of [
      '{"text":1}',
      '{',
      '[]',
      'null',
      Buffer.from([0x1f, 0x8b, 1, 2, 3]),
      bomb,
      Buffer.from([255, 254]),
    ]) {
      await app.cache.setex(key(projectId), 60, rot);
      expect(await cache.getOrLoad(projectId, outlines.of('a'), () => value(3))).toEqual(value(3));
    }
    await app.cache.del(key(projectId));
    await app.cache.sadd(key(projectId), 'another kind');
    expect(await cache.getOrLoad(projectId, outlines.of('a'), () => value(4))).toEqual(value(4));
  });

  it('refuse a loader that gives what its type does not allow', async () => {
    const bad = (): Outline => ({ text: 'a', n: 'one' }) as unknown as Outline;
    await expect(cache.getOrLoad(newProject(), outlines.of('a'), bad)).rejects.toThrow('no valid value');
  });

  it('are checked anew when their schema changes', async () => {
    class Wider extends Outline {
      @IsString() added!: string;
    }
    const wider = new EntryType({ name: 'outline', type: Wider, ttlMs: 60_000, schema: 2 });
    const projectId = newProject();
    await cache.getOrLoad(projectId, outlines.of('a'), () => value(1));
    const load = (): Wider => ({ ...value(1), added: 'yes' });
    expect(await cache.getOrLoad(projectId, wider.of('a'), load)).toEqual(load());
  });

  it('are compressed from 2 KiB on, where that is smaller; a 16 KiB document shrinks 2.5 times', async () => {
    const projectId = newProject();
    const stored = (id: string): Promise<number> => app.cache.strlen(keys.entry(projectId, 'outline', id));
    const words = Array.from({ length: 3000 }, (_, i) => `word${(i * 7919) % 613}`).join(' ');
    for (const [id, size] of [
      ['small', 1000],
      ['medium', 16_384],
      ['large', 200_000],
    ] as const) {
      const text = words.repeat(12).slice(0, size);
      await cache.getOrLoad(projectId, outlines.of(id), () => value(1, text));
      expect((await cache.getOrLoad(projectId, outlines.of(id), never)).text).toBe(text);
    }
    expect(await stored('small')).toBeGreaterThan(1000);
    expect(await stored('medium')).toBeLessThan(16_384 / 2.5);
    const noise = value(1, randomBytes(3000).toString('base64'));
    await cache.getOrLoad(projectId, outlines.of('noise'), () => noise);
    expect(await stored('noise')).toBeLessThanOrEqual(Buffer.byteLength(JSON.stringify(noise)));
  });

  it('are loaded again early by one reader, while the others read on', async () => {
    const eager = new EntryType({ name: 'eager', type: Outline, ttlMs: 60_000, earlyRefresh: 1e9 });
    const projectId = newProject();
    await cache.getOrLoad(projectId, eager.of('a'), () => value(1));
    const second = gate(value(2));
    const reads = await Promise.all(
      Array.from({ length: 20 }, () => cache.getOrLoad(projectId, eager.of('a'), second.loader)),
    );
    expect(new Set(reads.map(({ n }) => n))).toEqual(new Set([1]));
    second.open();
    await until(async () => (await cache.getOrLoad(projectId, eager.of('a'), () => value(2))).n === 2, 'the refresh');
  });

  it('may be documents, which other programs read and write', async () => {
    const projectId = newProject();
    const guide = { id: 'guide', title: 'Guide', content: 'text', version: 3 };
    const load = (): typeof guide => ({ ...guide, secret: 'not stored' }) as typeof guide;
    expect(await cache.getOrLoad(projectId, cache.documents.of('guide'), load)).toEqual(guide);
    expect(await app.cache.get(keys.doc(projectId, 'guide'))).toBe(JSON.stringify(guide));
    expect((await cache.get(projectId, 'guide'))?.document).toEqual(guide);
    await cache.put(projectId, { ...guide, version: 4 });
    expect((await cache.getOrLoad(projectId, cache.documents.of('guide'), never)).version).toBe(4);
    await app.cache.setex(keys.doc(projectId, 'guide'), 60, JSON.stringify({ ...guide, version: 9, extra: 1 }));
    expect(await cache.getOrLoad(projectId, cache.documents.of('guide'), never)).toEqual({ ...guide, version: 9 });
    await app.cache.setex(keys.doc(projectId, 'guide'), 60, JSON.stringify({ ...guide, id: 'another' }));
    expect(await cache.getOrLoad(projectId, cache.documents.of('guide'), load)).toEqual(guide);
  });

  it('refuse a document write with an old fence', async () => {
    const projectId = newProject();
    const document = { id: 'a', title: 'A', content: '', version: 1 };
    await cache.put(projectId, document, { fence: 20 });
    const late = cache.put(projectId, { ...document, version: 2 }, { fence: 19 });
    await expect(late).rejects.toMatchObject({ code: 'lock_lost' });
    await cache.invalidateAll(projectId);
    await expect(cache.put(projectId, document, { fence: 19 })).rejects.toMatchObject({ code: 'lock_lost' });
    await cache.put(projectId, document, { fence: 20 });
  });

  it('leave with an invalidation of the project, and leave no key without a TTL', async () => {
    const projectId = newProject();
    await cache.getOrLoad(projectId, outlines.of('a'), () => value(1));
    await cache.invalidateAll(projectId);
    expect(await cache.getOrLoad(projectId, outlines.of('a'), () => value(2))).toEqual(value(2));
    await cache.getOrLoad(projectId, outlines.of('b'), () => value(2));
    await cache.invalidateAll(projectId);
    await until(async () => (await app.cache.exists(key(projectId))) === 0, 'the sweep');
    await until(async () => (await app.cache.exists(keys.meta(projectId, 'outline', 'b'))) === 0, 'the sweep of notes');
    for (const name of await app.keysOf(projectId)) {
      // -1: without TTL; -2: not there (any more).
      expect([await app.cache.pttl(name), await app.state.pttl(name)], name).not.toContain(-1);
    }
  });
});
