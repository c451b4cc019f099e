import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { IsInt } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CacheKeys } from '../../src/cache/cache.keys.js';
import { CacheService } from '../../src/cache/cache.service.js';
import { EntryType } from '../../src/cache/entry/entry-type.js';
import { isAppError } from '../../src/common/app-error.js';
import { RedisTracking } from '../../src/redis/redis-tracking.js';
import { TestApp } from '../support/app.js';
import { l1Hits } from '../support/l1.js';
import { newProject } from '../support/projects.js';
import { random } from '../support/random.mjs';
import { until } from '../support/until.js';

class Numbered {
  @IsInt() n!: number;
}
const numbers = new EntryType({
  name: 'number',
  type: Numbered,
  ttlMs: 60_000,
  graceMs: 5000,
  earlyRefresh: 20_000,
  l1: true,
});
const calm = new EntryType({ name: 'calm', type: Numbered, ttlMs: 60_000, earlyRefresh: 0, l1: true });
const brief = new EntryType({ name: 'brief', type: Numbered, ttlMs: 3, graceMs: 5000, l1: true });

async function rest(next: () => number): Promise<void> {
  const dice = next();
  if (dice < 0.3) return;
  if (dice < 0.7) for (let i = 0; i < dice * 20; i += 1) await turn();
  else await pause(next() * 4);
}

/** A process of the application, and what is known to have changed for those who read there. */
interface Place {
  readonly cache: CacheService;
  readonly tracking: RedisTracking | undefined;
}

/** One round: readers of two instances, and a writer who changes the source and then makes it known in one of four ways. */
async function round(places: readonly Place[], app: TestApp, seed: number): Promise<string[]> {
  const next = random(seed);
  const projectId = newProject();
  const entry = [numbers, brief, calm][Math.floor(next() * 3)]!.of('a');
  const key = app.get(CacheKeys).entry(projectId, entry.type.name, 'a');
  const violations: string[] = [];
  let source = 0;
  const known = places.map(() => 0);

  const load = async (): Promise<Numbered> => {
    await rest(next);
    const n = source;
    await rest(next);
    return { n };
  };
  async function reader(at: number): Promise<void> {
    for (let i = 0; i < 5; i += 1) {
      const floor = known[at]!;
      const { n } = await places[at]!.cache.getOrLoad(projectId, entry, load);
      // Natural staleness is the policy's affair; what was made known is not.
      if (n < floor) violations.push(`seed ${seed}: read ${n} after ${floor} was made known`);
      await rest(next);
    }
  }
  /** With L1 a change counts at once where it was made, and elsewhere when all that Redis told before has been heard. */
  async function heard(n: number, madeAt: number | undefined): Promise<void> {
    await Promise.all(
      places.map(async ({ tracking }, at) => {
        // A proof that fails is a connection that is lost, and with it everything that was kept.
        if (at !== madeAt) await tracking?.prove().catch(() => undefined);
        known[at] = Math.max(known[at]!, n);
      }),
    );
  }
  async function writer(): Promise<void> {
    for (let i = 0; i < 4; i += 1) {
      await rest(next);
      const n = source + 1;
      source = n;
      const at = Math.floor(next() * 2);
      const { cache } = places[at]!;
      const dice = next();
      const tell = async (): Promise<unknown> => {
        if (dice < 0.35) return cache.drop(projectId, entry);
        if (dice < 0.65) return cache.invalidateAll(projectId);
        return app.cache.setex(key, 60, JSON.stringify({ n }));
      };
      // What was refused (a busy machine misses a deadline) was not made known.
      const refused = await tell().then(
        () => false,
        (error: unknown) => {
          if (!isAppError(error, 'redis_unavailable')) throw error;
          return true;
        },
      );
      if (!refused) await heard(n, dice < 0.65 ? at : undefined);
    }
  }
  await Promise.all([reader(0), reader(0), reader(1), reader(1), writer()]);
  return violations;
}

describe.each(['off', 'on'] as const)('with L1 %s', (l1) => {
  let apps: TestApp[];
  let places: Place[];
  beforeAll(async () => {
    apps = [await TestApp.start({ env: { CACHE_L1: l1 } }), await TestApp.start({ env: { CACHE_L1: l1 } })];
    places = apps.map((app) => ({
      cache: app.get(CacheService),
      tracking: l1 === 'on' ? app.get(RedisTracking) : undefined,
    }));
    for (const { tracking } of places) if (tracking) await until(() => tracking.proven, 'L1');
  });
  afterAll(() => Promise.all(apps.map((app) => app.close())));

  it('no read that starts after a delete, an invalidation or a foreign write sees the old value, over 1,000 interleavings', async () => {
    const first = Math.floor(Math.random() * 1e9);
    const violations: string[] = [];
    for (let i = 0; i < 1000; i += 10) {
      const rounds = Array.from({ length: 10 }, (_, j) => round(places, apps[0]!, first + i + j));
      violations.push(...(await Promise.all(rounds)).flat());
    }
    expect(violations).toEqual([]);
    expect((await l1Hits(apps[0]!)) > 100).toBe(l1 === 'on');
  }, 120_000);
});
