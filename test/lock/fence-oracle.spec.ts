import { expect, it } from 'vitest';
import type { LockService as Locks } from '../../src/lock/lock.service.js';
import { LockKeys } from '../../src/lock/lock.keys.js';
import { LockService } from '../../src/lock/lock.service.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';

// `npm run soak` asks for the full number.
const GRANTS = process.env['SOAK'] ? 10_000 : 500;
const TTL_MS = 100;

/** What a lock should protect: it takes no write with a smaller fence than one before. */
class Register {
  refused = 0;
  #last = 0;

  write(fence: number): void {
    if (fence < this.#last) this.refused += 1;
    else this.#last = fence;
  }
}

it(`grants only growing fences, over ${GRANTS} grants with pauses beyond the TTL, lost counters and restarts`, async () => {
  await using server = await ownRedis();
  await using first = await TestApp.start({ servers: { state: server } });
  await using second = await TestApp.start({ servers: { state: server } });
  const services = [first, second].map((app) => app.get(LockService));
  const projectId = newProject();
  const keys = first.get(LockKeys);
  const register = new Register();
  const shrunk: number[] = [];
  let greatest = 0;
  let grants = 0;
  let restarts = 0;

  const take = (locks: Locks): Promise<{ token: string; fence: number }> =>
    until(
      () => locks.acquire(projectId, 'a', { ttlMs: TTL_MS, waitMs: 5000 }).catch(() => undefined),
      'the lock',
      20_000,
    );

  async function worker(index: number): Promise<void> {
    while (grants < GRANTS) {
      const locks = services[index % 2]!;
      const { token, fence } = await take(locks);
      grants += 1;
      const grant = grants;
      if (fence <= greatest) shrunk.push(fence);
      greatest = Math.max(greatest, fence);
      // A pause beyond the TTL: the next holder is granted the lock and writes before this one does.
      if (grant % 40 === 7) await until(() => grants > grant || grants >= GRANTS, 'the next grant', 20_000);
      register.write(fence);
      if (grant % 11 === 3) await first.state.del(keys.toAcquire(projectId, 'a').fence).catch(() => undefined);
      if (grant % Math.ceil(GRANTS / 3) === 100) {
        restarts += 1;
        await server.restart({ empty: restarts === 2 });
      }
      await locks.release(projectId, 'a', token).catch(() => undefined);
    }
  }
  await Promise.all(Array.from({ length: 6 }, (_, i) => worker(i)));

  expect(shrunk).toEqual([]);
  expect(register.refused).toBeGreaterThan(0);
  expect(grants).toBeGreaterThanOrEqual(GRANTS);
  expect(restarts).toBeGreaterThan(1);
}, 600_000);
