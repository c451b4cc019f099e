import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { WINDOW_KINDS } from '../../src/quota/policy.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { type Caller, inBatches, verdict } from './caller.js';
import { figure } from '../support/scale.js';
import { TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

const SECOND = 1000;
const MAY = Date.UTC(2031, 4) / SECOND;
const JUNE = Date.UTC(2031, 5) / SECOND;

describe('reservations', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  beforeAll(async () => {
    const quotas = {
      tokens: { limits: { minute: 100, month: 1000 } },
      held: { limits: { month: 3000 } },
      paced: { limits: {}, bucket: { limit: 100, window_seconds: 60 } },
    };
    world = await World.start({ env: { QUOTAS: JSON.stringify(quotas) } });
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  // 334 are charged the three that they hold, 333 what they reported: 167 of them one, 166 two.
  const settled = 334 * 3 + 167 + 166 * 2;
  const room = 3000 - settled;
  it.each<[string, (caller: Caller, projectId: ProjectId) => Promise<unknown>, string]>([
    ['reading', ({ quotas }, id) => quotas.get(id, 'held'), `${settled}`],
    ['refusal', ({ quotas }, id) => quotas.consume(id, 'held', room + 1), `${settled}`],
    [
      'charge that fits only without them',
      ({ quotas }, id) => quotas.consume(id, 'held', room, { idempotencyKey: 'a' }),
      '3000',
    ],
    [
      'reservation that fits only without them',
      ({ reservations }, id) => reservations.reserve(id, 'held', room, { idempotencyKey: 'a' }),
      `${settled}+${room}`,
    ],
  ])('settle by their policy the 1,000 reservations of a killed process, before the first %s', async (_, ask, cell) => {
    const projectId = newProject();
    await using victim = await world.join();
    const policies = ['charge', 'refund', 'charge_reported'] as const;
    const holds = await inBatches(
      Array.from({ length: 1000 }, (__, i) => () => {
        const onExpiry = policies[i % policies.length]!;
        return victim.reservations.reserve(projectId, 'held', 3, { ttlSeconds: 60, onExpiry });
      }),
    );
    await inBatches(
      holds.flatMap(({ id }, i) =>
        i % 3 === 2 ? [() => victim.reservations.extend(projectId, 'held', id, 1 + (i % 2))] : [],
      ),
    );
    expect(await verdict(world.caller.quotas.consume(projectId, 'held', 1))).toBe('quota_exceeded');
    await victim.kill();
    await world.advance(61_000);

    const start = performance.now();
    // On a slow machine an answer may miss its deadline: it is asked for again.
    await until(async () => (await verdict(ask(world.caller, projectId))) !== 'redis_unavailable', 'an answer');
    figure('1,000 holds of a killed process', { 'first answer after ms': Math.round(performance.now() - start) });
    expect(await world.admin.get(`proj:${projectId}:quota:held:month:${MAY}`)).toBe(cell);
  });

  it('settles a reservation in the windows in which it was made, and leaves the next ones untouched', async () => {
    const projectId = newProject();
    const { quotas, reservations } = world.caller;
    // The last second of a month.
    await world.stepRedis((JUNE - 1) * SECOND - world.now);
    const reserve = (amount: number, onExpiry: 'charge' | 'refund' = 'refund') =>
      reservations.reserve(projectId, 'tokens', amount, { ttlSeconds: 30, onExpiry });
    const [more, less, released] = [await reserve(20), await reserve(30), await reserve(10)];
    await reserve(15, 'charge');
    await world.advance(2 * SECOND);
    await quotas.consume(projectId, 'tokens', 100);
    const next = WINDOW_KINDS.map((kind) => `proj:${projectId}:quota:tokens:${kind}:${JUNE}`);
    const bytes = await world.admin.mgetBuffer(next);
    expect(bytes.map(String)).toEqual(['100', '100', '100', '100']);

    await reservations.commit(projectId, 'tokens', more.id, 25);
    await reservations.extend(projectId, 'tokens', less.id, 35);
    await reservations.commit(projectId, 'tokens', less.id, 5);
    await reservations.release(projectId, 'tokens', released.id);
    await world.advance(31 * SECOND);
    expect((await quotas.get(projectId, 'tokens')).windows.map(({ used, held }) => [used, held])).toEqual([
      [100, 0],
      [100, 0],
    ]);
    expect(await world.admin.mgetBuffer(next)).toEqual(bytes);
    const cell = await world.admin.get(`proj:${projectId}:quota:tokens:minute:${JUNE - 60}`);
    expect(cell).toBe(String(25 + 5 + 15));
  });

  const remaining = async (projectId: ProjectId): Promise<number> =>
    (await world.caller.quotas.get(projectId, 'paced')).bucket!.remaining;

  it('a released hold gives back no tokens that have been refilled meanwhile', async () => {
    const { quotas, reservations } = world.caller;
    const endings: [string, (projectId: ProjectId, id: string) => Promise<unknown>][] = [
      ['released', (projectId, id) => reservations.release(projectId, 'paced', id)],
      ['committed with nothing', (projectId, id) => reservations.commit(projectId, 'paced', id, 0)],
      ['expired', () => world.advance(0)],
    ];
    for (const [name, end] of endings) {
      const projectId = newProject();
      const ttlSeconds = name === 'expired' ? 60 : 300;
      const { id } = await reservations.reserve(projectId, 'paced', 100, { ttlSeconds, onExpiry: 'refund' });
      await world.advance(60 * SECOND);
      await quotas.consume(projectId, 'paced', 100);
      await end(projectId, id);
      expect(await remaining(projectId), name).toBe(0);
      await world.advance(30 * SECOND);
      expect(await remaining(projectId), name).toBe(50);
    }
  });

  it('gives back all of a hold where others have kept the bucket from filling up, and what it stood at where it was low', async () => {
    const { quotas, reservations } = world.caller;
    const projectId = newProject();
    const busy = await reservations.reserve(projectId, 'paced', 60);
    for (let i = 0; i < 10; i += 1) {
      await quotas.consume(projectId, 'paced', i === 0 ? 40 : 20);
      await world.advance(12 * SECOND);
    }
    // All that has flowed in went to the others: the hold weighs as on the first day.
    expect(await remaining(projectId)).toBe(20);
    await reservations.commit(projectId, 'paced', busy.id, 10);
    expect(await remaining(projectId)).toBe(70);

    const other = newProject();
    const low = await reservations.reserve(other, 'paced', 60);
    await world.advance(24 * SECOND);
    await quotas.consume(other, 'paced', 80);
    await reservations.release(other, 'paced', low.id);
    expect(await remaining(other)).toBe(20);
  });

  it('gives back no more for many holds than for one that is as large', async () => {
    const { quotas, reservations } = world.caller;
    for (const size of [1, 10, 100]) {
      const projectId = newProject();
      const holds = await inBatches(
        Array.from({ length: 100 / size }, () => () => reservations.reserve(projectId, 'paced', size)),
      );
      await world.advance(30 * SECOND);
      await quotas.consume(projectId, 'paced', 50);
      await inBatches(
        holds.map(
          ({ id }) =>
            () =>
              reservations.release(projectId, 'paced', id),
        ),
      );
      expect(await remaining(projectId), `holds of ${size}`).toBe(50);
      expect(await verdict(quotas.consume(projectId, 'paced', 51))).toBe('quota_exceeded');
    }
  });

  it('gives back all of many holds, in whatever order they end', async () => {
    const { reservations } = world.caller;
    const projectId = newProject();
    const holds = await inBatches(Array.from({ length: 100 }, () => () => reservations.reserve(projectId, 'paced', 1)));
    expect(await remaining(projectId)).toBe(0);
    const mixed = holds.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    await inBatches(
      mixed.map(
        ({ id }) =>
          () =>
            reservations.release(projectId, 'paced', id),
      ),
    );
    expect(await remaining(projectId)).toBe(100);
  });

  it('gives back nothing that was refilled when Redis’s clock has gone forward and back again, and all where it only went back', async () => {
    const { quotas, reservations } = world.caller;
    const projectId = newProject();
    const early = await reservations.reserve(projectId, 'paced', 100, { ttlSeconds: 86_400 });
    await world.stepRedis(3600 * SECOND);
    expect(await remaining(projectId)).toBe(100);
    await world.stepRedis(-3600 * SECOND);
    await reservations.reserve(projectId, 'paced', 100);
    await reservations.release(projectId, 'paced', early.id);
    await world.advance(SECOND);
    expect(await verdict(quotas.consume(projectId, 'paced', 5))).toBe('quota_exceeded');

    const other = newProject();
    const hold = await reservations.reserve(other, 'paced', 100, { ttlSeconds: 86_400 });
    await world.stepRedis(-3600 * SECOND);
    await reservations.release(other, 'paced', hold.id);
    expect(await remaining(other)).toBe(100);
  });

  it('settles holds whose records are of the form before buckets knew them, and gives back at most what has not flowed in', async () => {
    const { quotas, reservations } = world.caller;
    for (const [seconds, left] of [
      [0, 100],
      [30, 50],
      [60, 0],
    ] as const) {
      const projectId = newProject();
      const { id } = await reservations.reserve(projectId, 'paced', 100);
      await world.admin.hdel(`proj:${projectId}:quota:paced:hold:${id}`, 'mark');
      const bucket = (await world.admin.getBuffer(`proj:${projectId}:quota:paced`))!;
      await world.admin.set(`proj:${projectId}:quota:paced`, bucket.subarray(0, 24), 'KEEPTTL');
      await world.advance(seconds * SECOND);
      if (seconds > 0) await quotas.consume(projectId, 'paced', (seconds * 100) / 60);
      await reservations.release(projectId, 'paced', id);
      expect(await remaining(projectId), `after ${seconds} s`).toBe(left);
      expect(await reservations.commit(projectId, 'paced', id, 20)).toEqual({ charged: 20, overrun: 20 });
    }
  });
});
