import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newProject } from '../support/projects.js';
import { Caller, CallError, inBatches, verdict } from './caller.js';
import { Clock } from '../support/clock.js';
import { TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const NOON = Date.UTC(2031, 4, 10, 12);

describe('time', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  beforeAll(async () => {
    world = await World.start({
      env: {
        RATE_LIMITS: JSON.stringify({
          two: { limit: 2, window_seconds: 2 },
          four: { limit: 4, window_seconds: 4 },
          odd: { limit: 7, window_seconds: 13 },
          slow: { limit: 10, window_seconds: 600 },
        }),
        QUOTAS: JSON.stringify({
          tokens: { limits: { minute: 100, month: 1_000_000 } },
          paced: { limits: {}, bucket: { limit: 30, window_seconds: 60 } },
          both: { limits: { hour: 50 }, bucket: { limit: 20, window_seconds: 40 } },
        }),
      },
    });
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  /** @returns how many single tokens the action gives at once. */
  async function drain(projectId: ReturnType<typeof newProject>, action: string): Promise<number> {
    for (let taken = 0; ; taken += 1) {
      if ((await verdict(world.caller.quotas.consumeRate(projectId, action))) !== 'ok') return taken;
    }
  }

  /** Lets Redis's clock step back, and a second pass: for so long a process may refuse by what it has just heard. */
  async function stepBack(ms: number): Promise<void> {
    await world.stepRedis(-ms);
    await world.advance(SECOND);
  }

  /** @returns the bytes of all that counts in the project. */
  async function counters(projectId: string): Promise<Map<string, string>> {
    const keys = (await world.keysOf(projectId)).filter((key) => !key.includes(':config:'));
    return new Map(
      await Promise.all(keys.map(async (key) => [key, String(await world.admin.dumpBuffer(key))] as const)),
    );
  }

  it('changes no byte of a counter for a thousand refusals', async () => {
    const projectId = newProject();
    const { quotas, reservations } = world.caller;
    await quotas.consumeAll(projectId, [
      { action: 'slow', cost: 8 },
      { resource: 'tokens', amount: 90 },
      { resource: 'both', amount: 15 },
    ]);
    await reservations.reserve(projectId, 'both', 3);
    const before = await counters(projectId);
    expect(before.size).toBeGreaterThan(10);
    const refusals = Array.from({ length: 200 }, (_, i) => [
      () => quotas.consumeRate(projectId, 'slow', 3 + (i % 20)),
      () => quotas.consume(projectId, 'tokens', 11),
      () => quotas.consume(projectId, 'both', 3, { idempotencyKey: `key ${i}` }),
      () => reservations.reserve(projectId, 'both', 3),
      () =>
        quotas.consumeAll(projectId, [
          { resource: 'tokens', amount: 1 },
          { action: 'slow', cost: 1 },
          { resource: 'both', amount: 3 },
        ]),
    ]).flat();
    const verdicts = new Set(await inBatches(refusals.map((call) => () => verdict(call()))));
    expect(verdicts).toEqual(new Set(['rate_limited', 'quota_exceeded']));
    expect(await counters(projectId)).toEqual(before);
  });

  it('refuses until the moment it promised, and not longer for being asked', async () => {
    for (const every of [1, 37, 500]) {
      const projectId = newProject();
      await world.caller.quotas.consumeRate(projectId, 'odd', 7);
      const error = await world.caller.quotas.consumeRate(projectId, 'odd', 2).catch((thrown: unknown) => thrown);
      const promised = Math.round((error as CallError).details.retryAfterSeconds! * SECOND);
      // Two tokens of seven in 13 s.
      expect(promised).toBe(Math.ceil((2 * 13 * SECOND) / 7));
      let waited = Math.max(0, promised - 20 * every);
      await world.advance(waited);
      for (; waited < promised; waited += every) {
        expect(await verdict(world.caller.quotas.consumeRate(projectId, 'odd', 2)), `${waited}`).toBe('rate_limited');
        await world.advance(Math.min(every, promised - waited));
      }
      expect(await verdict(world.caller.quotas.consumeRate(projectId, 'odd', 2))).toBe('ok');
    }
  });

  it('keeps fractions: 200 s of polling give what the pace gives', async () => {
    /** What is taken in 200 s by who takes all there is each `every` ms. */
    const poll = async (action: string, every: number): Promise<number> => {
      const projectId = newProject();
      let taken = 0;
      for (let at = 0; at <= 200 * SECOND; at += every) {
        taken += await drain(projectId, action);
        await world.advance(every);
      }
      return taken;
    };
    // One a second, and the burst with which it begins.
    expect(await poll('two', 190)).toBe(2 + 199);
    expect(await poll('four', 1900)).toBe(4 + 199);
    // 0.9 of a token is left over at every other poll, and the next one then finds the bucket full: three in 3.8 s.
    expect(await poll('two', 1900)).toBe(2 + 157);
  });

  it('mints no token when Redis steps back, and refuses no longer than a window from then on', async () => {
    for (const [action, windowMs] of [
      ['two', 2 * SECOND],
      ['odd', 13 * SECOND],
      ['slow', 600 * SECOND],
    ] as const) {
      const projectId = newProject();
      const limit = await drain(projectId, action);
      await stepBack(10 * MINUTE);
      expect(await drain(projectId, action)).toBe(0);
      await world.advance(windowMs / 2);
      const half = await drain(projectId, action);
      expect(half).toBe(Math.floor(limit / 2));
      await world.advance(windowMs / 2);
      expect(half + (await drain(projectId, action))).toBe(limit);
      // And again, without a call while the clock was behind.
      await stepBack(10 * MINUTE);
      await world.stepRedis(10 * MINUTE - SECOND);
      expect(await drain(projectId, action)).toBe(0);
    }
  });

  it('finds the windows used that it had used before Redis stepped back', async () => {
    const projectId = newProject();
    const { quotas } = world.caller;
    await world.stepRedis(NOON - world.now);
    await quotas.consume(projectId, 'tokens', 100);
    await world.advance(10 * MINUTE);
    await quotas.consume(projectId, 'tokens', 60);
    await world.stepRedis(-10 * MINUTE);
    expect(await verdict(quotas.consume(projectId, 'tokens', 1))).toBe('quota_exceeded');
    await world.advance(MINUTE);
    await quotas.consume(projectId, 'tokens', 100);
    await world.stepRedis(9 * MINUTE);
    expect(await verdict(quotas.consume(projectId, 'tokens', 41))).toBe('quota_exceeded');
    await quotas.consume(projectId, 'tokens', 40);
    expect((await quotas.get(projectId, 'tokens')).windows.map(({ used }) => used)).toEqual([100, 300]);
  });

  it('gives a bucket at most its limit, however far Redis steps forward, and goes on when it steps back again', async () => {
    const projectId = newProject();
    expect(await drain(projectId, 'slow')).toBe(10);
    await world.advance(365 * 24 * 60 * MINUTE);
    expect(await drain(projectId, 'slow')).toBe(10);
    await stepBack(365 * 24 * 60 * MINUTE);
    expect(await drain(projectId, 'slow')).toBe(0);
    await world.advance(10 * MINUTE);
    expect(await drain(projectId, 'slow')).toBe(10);
  });

  it('is ten minutes for an answer to be given again, and then the key is a new one', async () => {
    const projectId = newProject();
    const consume = () =>
      world.caller.quotas.consumeAll(
        projectId,
        [
          { action: 'slow', cost: 1 },
          { resource: 'tokens', amount: 1 },
        ],
        {
          idempotencyKey: 'once',
        },
      );
    const used = async () => (await world.caller.quotas.get(projectId, 'tokens')).windows.at(-1)!.used;
    const first = await consume();
    await world.advance(10 * MINUTE - SECOND);
    expect(await consume()).toEqual(first);
    expect(await used()).toBe(1);
    await world.advance(2 * SECOND);
    await consume();
    expect(await used()).toBe(2);
  });

  it('is Redis time: application clocks ten minutes off change nothing', async () => {
    const projectId = newProject();
    await world.stepRedis(NOON - world.now);
    using ahead = new Clock('realtime');
    using behind = new Clock('realtime');
    ahead.step(10 * MINUTE);
    behind.step(-10 * MINUTE);
    const env = {
      REDIS_URL: world.redis.appUrl,
      RATE_LIMITS: JSON.stringify({ slow: { limit: 10, window_seconds: 600 } }),
      QUOTAS: JSON.stringify({ tokens: { limits: { minute: 100, month: 1_000_000 } } }),
    };
    await using early = await Caller.start({ ...env, ...ahead.env });
    await using late = await Caller.start({ ...env, ...behind.env });
    expect((await early.work.clock()) - (await late.work.clock())).toBeGreaterThan(19 * MINUTE);

    const taken = await Promise.all(
      [early, late, world.caller].flatMap(({ quotas }) =>
        Array.from({ length: 10 }, () => verdict(quotas.consumeRate(projectId, 'slow'))),
      ),
    );
    expect(taken.filter((name) => name === 'ok')).toHaveLength(10);
    for (const { quotas } of [early, late, world.caller]) {
      const error = await quotas.consumeRate(projectId, 'slow').catch((thrown: unknown) => thrown);
      const { retryAfterSeconds } = (error as CallError).details;
      // Redis stands still here, but a process may answer for a second by what it has heard from Redis.
      expect(retryAfterSeconds).toBeGreaterThan(59 - 0.1);
      expect(retryAfterSeconds).toBeLessThan(60 + 0.1);
    }
    const hold = await early.reservations.reserve(projectId, 'tokens', 40, { ttlSeconds: 60 });
    expect(hold.expiresAt).toBe(world.now + MINUTE);
    await late.quotas.consume(projectId, 'tokens', 60);
    expect(await verdict(early.quotas.consume(projectId, 'tokens', 1))).toBe('quota_exceeded');
    expect(await late.reservations.commit(projectId, 'tokens', hold.id, 40)).toEqual({ charged: 40, overrun: 0 });
    const [minute] = (await early.quotas.get(projectId, 'tokens')).windows;
    expect(minute).toMatchObject({ used: 100, resetsAt: NOON + MINUTE });
    const series = await early.quotas.usage(projectId, 'tokens', { granularity: 'minute' });
    expect(series.at(-1)).toEqual({ start: NOON, used: 100 });
  });
});
