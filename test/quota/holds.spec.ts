import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { WINDOW_KINDS } from '../../src/quota/policy.js';
import { newProject } from '../support/projects.js';
import { type Caller, inBatches, verdict } from './caller.js';
import { figure, TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

const SECOND = 1000;
const MAY = Date.UTC(2031, 4) / SECOND;
const JUNE = Date.UTC(2031, 5) / SECOND;

describe('reservations', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  beforeAll(async () => {
    const quotas = { tokens: { limits: { minute: 100, month: 1000 } }, held: { limits: { month: 3000 } } };
    world = await World.start({ env: { QUOTAS: JSON.stringify(quotas) } });
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  // 334 are charged the three that they hold, 333 what they reported: 167 of them one, 166 two.
  const settled = 334 * 3 + 167 + 166 * 2;
  const room = 3000 - settled;
  it.each<[string, (caller: Caller, projectId: ProjectId) => Promise<unknown>, string]>([
    ['reading', ({ quotas }, id) => quotas.get(id, 'held'), `${settled}`],
    ['refusal', ({ quotas }, id) => verdict(quotas.consume(id, 'held', room + 1)), `${settled}`],
    ['charge that fits only without them', ({ quotas }, id) => quotas.consume(id, 'held', room), '3000'],
    [
      'reservation that fits only without them',
      ({ reservations }, id) => reservations.reserve(id, 'held', room),
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
    await ask(world.caller, projectId);
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
});
