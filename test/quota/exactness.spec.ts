import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newProject } from '../support/projects.js';
import { ownRedis } from '../support/own-redis.js';
import { until } from '../support/until.js';
import { Caller, type Sums, verdict } from './caller.js';
import { figure, scaled, SEED } from '../support/scale.js';
import { TIMEOUT_MS } from './scale.js';

const PROCESSES = 8;
const CALLS = 500;

describe('eight processes on one project', { timeout: TIMEOUT_MS }, () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let admin: Redis;
  let callers: Caller[];
  beforeAll(async () => {
    redis = await ownRedis();
    admin = new Redis(redis.adminUrl, { protocol: 2 });
    const env = {
      REDIS_URL: redis.appUrl,
      RATE_LIMITS: JSON.stringify({
        slow: { limit: 1234, window_seconds: 31_536_000 },
        several: {
          limit: 1500,
          window_seconds: 31_536_000,
          also: [
            { limit: 700, window_seconds: 2_592_000 },
            { limit: 100, window_seconds: 31_536_000, per_user: true },
          ],
        },
      }),
      QUOTAS: JSON.stringify({
        tokens: { limits: { month: 1777 } },
        both: { limits: { month: 1500 }, bucket: { limit: 999, window_seconds: 31_536_000 } },
      }),
    };
    callers = await Promise.all(Array.from({ length: PROCESSES }, () => Caller.start(env)));
  }, TIMEOUT_MS);
  afterAll(async () => {
    for (const caller of callers) await caller.kill();
    admin.disconnect();
    await redis[Symbol.asyncDispose]();
  });

  type Key = { idempotencyKey: string };
  type Call = (caller: Caller, key: Key, number: number) => Promise<unknown>;

  /**
   * Lets each process make the same number of calls at once. What gets no answer in time, on a slow machine, is repeated with
   * its key, as callers do. @returns how many ended in which way.
   */
  async function all(call: Call, count = CALLS): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    const run = randomUUID();
    const one = async (caller: Caller, key: Key, number: number): Promise<void> => {
      const name = await until(async () => {
        const answer = await verdict(call(caller, key, number));
        return answer === 'redis_unavailable' || answer === 'degraded' ? undefined : answer;
      }, 'an answer');
      counts[name] = (counts[name] ?? 0) + 1;
    };
    await Promise.all(
      callers.flatMap((caller, process) =>
        Array.from({ length: count }, (_, i) => one(caller, { idempotencyKey: `${run} ${process} ${i}` }, i)),
      ),
    );
    return counts;
  }

  it('accepts exactly the limit of a bucket, of a window, and of both together', async () => {
    const projectId = newProject();
    const calls = PROCESSES * CALLS;
    expect(await all(({ quotas }, key) => quotas.consumeRate(projectId, 'slow', 1, key))).toEqual({
      ok: 1234,
      rate_limited: calls - 1234,
    });
    expect(await all(({ quotas }, key) => quotas.consume(projectId, 'tokens', 1, key))).toEqual({
      ok: 1777,
      quota_exceeded: calls - 1777,
    });
    expect(await all(({ quotas }, key) => quotas.consume(projectId, 'both', 1, key))).toEqual({
      ok: 999,
      quota_exceeded: calls - 999,
    });
  });

  it('accepts exactly what the buckets of an action and of its users leave, and takes from all or from none', async () => {
    const projectId = newProject();
    const { quotas } = callers[0]!;
    // Ten users with a hundred each would be more than the second bucket has.
    const users = Array.from({ length: 10 }, (_, i) => `user-${i}`);
    const item = { action: 'several', cost: 1 };
    const accepted = await all(
      ({ quotas: other }, key, number) =>
        other.consumeAll(projectId, [item], { ...key, user: users[number % users.length]! }),
      200,
    );
    expect(accepted).toEqual({ ok: 700, rate_limited: 200 * PROCESSES - 700 });
    const peeks = await Promise.all(users.map((user) => quotas.peek(projectId, [item], { user })));
    const remaining = peeks.map(({ items }) => items[0]!.state.buckets!.map((bucket) => bucket.remaining));
    expect(remaining.map(([first, second]) => [first, second])).toEqual(users.map(() => [800, 0]));
    expect(remaining.reduce((sum, [, , own]) => sum + 100 - own!, 0)).toBe(700);
  });

  it('holds exactly the limit', async () => {
    const projectId = newProject();
    expect(await all(({ reservations }, key) => reservations.reserve(projectId, 'tokens', 1, key))).toEqual({
      ok: 1777,
      quota_exceeded: PROCESSES * CALLS - 1777,
    });
  });

  it('charges all rules of a call or none', async () => {
    const projectId = newProject();
    const items = [
      { action: 'slow', cost: 2 },
      { resource: 'tokens', amount: 3 },
      { resource: 'both', amount: 1 },
    ];
    const { ok } = await all(({ quotas }, key) => quotas.consumeAll(projectId, items, key), 125);
    // The window of tokens is the first to be full.
    expect(ok).toBe(592);
    const { quotas } = callers[0]!;
    expect((await quotas.get(projectId, 'tokens')).windows[0]).toMatchObject({ used: 3 * 592 });
    expect((await quotas.get(projectId, 'both')).bucket).toMatchObject({ remaining: 999 - 592 });
    // What the calls left of the rate limit, taken as routes take it.
    const left = 1234 - 2 * 592;
    expect(await all(({ quotas: other }) => other.consumeRate(projectId, 'slow'), 10)).toEqual({
      ok: left,
      rate_limited: 10 * PROCESSES - left,
    });
  });

  it('loses nothing when the scripts are flushed in the middle', async () => {
    const projectId = newProject();
    const calls = all(({ quotas }, key) => quotas.consume(projectId, 'tokens', 1, key));
    for (const middle of [1, 500, 1000, 1500]) {
      const used = async (): Promise<number> =>
        (await callers[0]!.quotas.get(projectId, 'tokens').catch(() => undefined))?.windows[0]?.used ?? 0;
      await until(async () => (await used()) >= middle, 'the calls are on their way');
      await admin.script('FLUSH');
    }
    expect(await calls).toEqual({ ok: 1777, quota_exceeded: PROCESSES * CALLS - 1777 });
  });

  it('never lets charged - overrun + held exceed the limit, and counts every token, whatever they do', async () => {
    const rounds = scaled(2, 50);
    const operations = scaled(1000, 2500);
    const limit = PROCESSES * operations * 4;
    const totals = { operations: 0, accepted: 0, refused: 0, charged: 0, overrun: 0, unknown: 0, readings: 0 };
    const start = performance.now();
    for (let round = 0; round < rounds; round += 1) {
      const projectId = newProject();
      const over = round % 2 === 1;
      await callers[0]!.quotas.put(projectId, 'tokens', {
        limits: { month: limit },
        bucket: { limit, window_seconds: 31_536_000 },
      });
      const month = async (): Promise<{ used: number; held: number } | undefined> =>
        (await callers[0]!.quotas.get(projectId, 'tokens').catch(() => undefined))?.windows[0];
      let running = true;
      const storms = Promise.all(
        callers.map((caller, i) =>
          caller.work.storm({
            projectId,
            resource: 'tokens',
            seed: SEED + round * PROCESSES + i,
            operations,
            inFlight: 8,
            over,
          }),
        ),
      ).finally(() => (running = false));
      while (running) {
        const { used = 0, held = 0 } = (await month()) ?? {};
        // Where nothing is used beyond its hold, this must be so at every moment.
        expect(used + held).toBeLessThanOrEqual(over ? Infinity : limit);
        totals.readings += 1;
      }
      const sums = (await storms).reduce(add);
      const { used, held } = await until(month, 'a reading');
      const counted = { used: used - sums.charged, held: held - sums.held };
      expect(counted.held, `seed ${SEED}, round ${round}`).toBe(0);
      expect(counted.used, `seed ${SEED}, round ${round}`).toBeGreaterThanOrEqual(0);
      expect(counted.used, `seed ${SEED}, round ${round}`).toBeLessThanOrEqual(sums.unknown);
      expect(used - sums.overrun + held).toBeLessThanOrEqual(limit);
      expect(sums.refused).toBeGreaterThan(0);
      for (const granularity of ['hour', 'day'] as const) {
        const series = await until(
          () => callers[0]!.quotas.usage(projectId, 'tokens', { granularity }).catch(() => undefined),
          'the series',
        );
        expect(series.reduce((sum, point) => sum + point.used, 0)).toBe(used);
      }
      for (const name of ['accepted', 'refused', 'charged', 'overrun', 'unknown'] as const) totals[name] += sums[name];
      totals.operations += PROCESSES * operations;
      await admin.flushdb();
    }
    figure('random operations', { ...totals, seed: SEED, seconds: Math.round((performance.now() - start) / 1000) });
  });

  it('overshoots by at most what 50 streams use between two reports', async () => {
    const [streams, step, limit] = [50, 37, 20_000];
    const runs = scaled(2, 50);
    let worst = 0;
    for (let run = 0; run < runs; run += 1) {
      const projectId = newProject();
      await callers[0]!.quotas.put(projectId, 'tokens', { limits: { month: limit } });
      const ended = await Promise.all(
        callers
          .slice(0, 5)
          .map((caller) => caller.work.streams({ projectId, resource: 'tokens', count: streams / 5, step })),
      );
      const charged = ended.reduce((sum, part) => sum + part.charged, 0);
      const overrun = ended.reduce((sum, part) => sum + part.overrun, 0);
      expect(charged).toBeGreaterThanOrEqual(limit);
      expect(charged - limit).toBeLessThanOrEqual(streams * step);
      expect(charged - overrun).toBeLessThanOrEqual(limit);
      worst = Math.max(worst, charged - limit);
    }
    figure('50 streams', { runs, 'tokens between two reports': step, 'worst overshoot': worst, bound: streams * step });
  });
});

function add(a: Sums, b: Sums): Sums {
  return {
    accepted: a.accepted + b.accepted,
    refused: a.refused + b.refused,
    charged: a.charged + b.charged,
    overrun: a.overrun + b.overrun,
    held: a.held + b.held,
    unknown: a.unknown + b.unknown,
  };
}
