import { array, assert, asyncProperty } from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Clock } from '../support/clock.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { figure, scaled, SEED } from '../support/scale.js';
import { LockModel } from './lock-model.js';
import { OWNERS, STEPS, type World } from './model-steps.js';
import { RealLock } from './real-lock.js';

const START = Date.UTC(2031, 4, 10, 12);
let clock: Clock;
let server: Awaited<ReturnType<typeof ownRedis>>;
let redis: Redis;
beforeAll(async () => {
  clock = new Clock('realtime');
  clock.standStill(START);
  server = await ownRedis('single', clock.env);
  redis = new Redis(server.adminUrl, { protocol: 2 });
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
  clock[Symbol.dispose]();
});

/** Whoever waits is known by the mark; the first grant after that drops it, so that the short way is found again. */
function isWrong(mark: boolean | undefined, waits: boolean, granted: boolean): boolean {
  return waits ? mark === false : granted && mark === true;
}

it('agrees with its reference after every step, and nobody waits without a mark', { timeout: 600_000 }, async () => {
  let taken = 0;
  const property = asyncProperty(array(STEPS, { maxLength: 60, size: 'max' }), async (steps) => {
    const model = new LockModel(clock.stillAt);
    const world: World = {
      model,
      real: new RealLock(redis, newProject(), OWNERS),
      pass: (ms) => {
        clock.step(ms);
        model.now += ms;
      },
      flush: () => redis.flushdb(),
      places: new Map(),
    };
    let fence: number | undefined;
    for (const { run } of steps) {
      const [answer, verdict] = await run(world);
      expect(answer).toEqual(verdict);
      const { marked, ...seen } = await world.real.look();
      expect(seen).toEqual(model.look());
      const granted = seen.holder !== undefined && seen.holder.fence !== fence;
      fence = seen.holder?.fence;
      const wrong = [marked.lock, marked.fence].map((mark) => isWrong(mark, seen.queue.length > 0, granted));
      expect(wrong).toEqual([false, false]);
      taken += 1;
    }
  });
  await assert(property, { numRuns: scaled(100, 5000), seed: SEED });
  figure('locks against their reference', { steps: taken, seed: SEED });
});
