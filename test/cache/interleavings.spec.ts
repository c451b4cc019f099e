import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { IsInt } from 'class-validator';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CacheKeys } from '../../src/cache/cache.keys.js';
import { CacheService } from '../../src/cache/cache.service.js';
import { EntryType } from '../../src/cache/entry/entry-type.js';
import { isAppError } from '../../src/common/app-error.js';
import { TestApp } from '../support/app.js';
import { newProject } from '../support/projects.js';

class Numbered {
  @IsInt() n!: number;
}
const numbers = new EntryType({ name: 'number', type: Numbered, ttlMs: 60_000, graceMs: 5000, earlyRefresh: 20_000 });
const brief = new EntryType({ name: 'brief', type: Numbered, ttlMs: 3, graceMs: 5000 });

/** A small generator, so that a failing round can be told by its seed (mulberry32). */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

let apps: TestApp[];
let caches: CacheService[];
beforeAll(async () => {
  apps = [await TestApp.start(), await TestApp.start()];
  caches = apps.map((app) => app.get(CacheService));
});
afterAll(() => Promise.all(apps.map((app) => app.close())));

async function rest(next: () => number): Promise<void> {
  const dice = next();
  if (dice < 0.3) return;
  if (dice < 0.7) for (let i = 0; i < dice * 20; i += 1) await turn();
  else await pause(next() * 4);
}

/** One round: readers of two instances, and a writer who changes the source and then makes it known in one of four ways. */
async function round(seed: number): Promise<string[]> {
  const next = random(seed);
  const projectId = newProject();
  const entry = (next() < 0.5 ? numbers : brief).of('a');
  const key = apps[0]!.get(CacheKeys).entry(projectId, entry.type.name, 'a');
  const violations: string[] = [];
  let source = 0;
  let known = 0;

  const load = async (): Promise<Numbered> => {
    await rest(next);
    const n = source;
    await rest(next);
    return { n };
  };
  async function reader(cache: CacheService): Promise<void> {
    for (let i = 0; i < 5; i += 1) {
      const floor = known;
      const { n } = await cache.getOrLoad(projectId, entry, load);
      // Natural staleness is the policy's affair; what was made known is not.
      if (n < floor) violations.push(`seed ${seed}: read ${n} after ${floor} was made known`);
      await rest(next);
    }
  }
  async function writer(): Promise<void> {
    for (let i = 0; i < 4; i += 1) {
      await rest(next);
      const n = source + 1;
      source = n;
      const cache = caches[Math.floor(next() * 2)]!;
      const dice = next();
      const tell = async (): Promise<unknown> => {
        if (dice < 0.35) return cache.drop(projectId, entry);
        if (dice < 0.65) return cache.invalidateAll(projectId);
        return apps[0]!.cache.setex(key, 60, JSON.stringify({ n }));
      };
      // What was refused (a busy machine misses a deadline) was not made known.
      const refused = await tell().then(
        () => false,
        (error: unknown) => {
          if (!isAppError(error, 'redis_unavailable')) throw error;
          return true;
        },
      );
      if (refused) continue;
      known = n;
    }
  }
  await Promise.all([reader(caches[0]!), reader(caches[0]!), reader(caches[1]!), reader(caches[1]!), writer()]);
  return violations;
}

it('no read that starts after a delete, an invalidation or a foreign write sees the old value, over 1,000 interleavings', async () => {
  const first = Math.floor(Math.random() * 1e9);
  const violations: string[] = [];
  for (let i = 0; i < 1000; i += 10) {
    const rounds = Array.from({ length: 10 }, (_, j) => round(first + i + j));
    violations.push(...(await Promise.all(rounds)).flat());
  }
  expect(violations).toEqual([]);
}, 120_000);
