import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { newProject } from '../support/projects.js';
import { type Caller, verdict } from './caller.js';
import { TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

const DAY = 86_400;

describe('an owner’s change', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  beforeAll(async () => {
    const rates = {
      slow: { limit: 10, window_seconds: DAY },
      users: { limit: 100, window_seconds: DAY, also: [{ limit: 10, window_seconds: DAY, per_user: true }] },
      dry: { limit: 10, window_seconds: DAY, dry_run: true },
    };
    const quotas = {
      tokens: { limits: { month: 10 } },
      paced: { limits: {}, bucket: { limit: 10, window_seconds: DAY } },
    };
    const env = { RATE_LIMITS: JSON.stringify(rates), QUOTAS: JSON.stringify(quotas) };
    world = await World.start({ callers: 2, env });
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  type Call = (caller: Caller, projectId: ProjectId, amount: number) => Promise<unknown>;
  const of = {
    slow: ({ quotas }, id, n) => quotas.consumeRate(id, 'slow', n),
    users: ({ quotas }, id, n) => quotas.consumeRate(id, 'users', n, { user: 'ann' }),
    dry: ({ quotas }, id, n) => quotas.consumeRate(id, 'dry', n),
    tokens: ({ quotas }, id, n) => quotas.consume(id, 'tokens', n),
    held: ({ reservations }, id, n) => reservations.reserve(id, 'tokens', n),
    paced: ({ quotas }, id, n) => quotas.consume(id, 'paced', n),
    several: ({ quotas }, id, n) =>
      quotas.consumeAll(id, [
        { resource: 'tokens', amount: n },
        { action: 'slow', cost: 1 },
      ]),
  } satisfies Record<string, Call>;
  const window = { window_seconds: DAY };

  // Of 6 that are consumed, a limit of 8 leaves 2 and one of 20 leaves 14.
  it.each<[string, Call, (caller: Caller, projectId: ProjectId, limit: number) => Promise<unknown>]>([
    ['a rate limit', of.slow, ({ quotas }, id, limit) => quotas.putRate(id, 'slow', { limit, ...window })],
    [
      'a rate limit per user',
      of.users,
      ({ quotas }, id, limit) =>
        quotas.putRate(id, 'users', { limit: 100, ...window, also: [{ limit, ...window, per_user: true }] }),
    ],
    ['a rate limit that was dry', of.dry, ({ quotas }, id, limit) => quotas.putRate(id, 'dry', { limit, ...window })],
    ['a window', of.tokens, ({ quotas }, id, limit) => quotas.put(id, 'tokens', { limits: { month: limit } })],
    ['what may be held', of.held, ({ quotas }, id, limit) => quotas.put(id, 'tokens', { limits: { month: limit } })],
    [
      'a bucket',
      of.paced,
      ({ quotas }, id, limit) => quotas.put(id, 'paced', { limits: {}, bucket: { limit, ...window } }),
    ],
    [
      'one of several rules',
      of.several,
      ({ quotas }, id, limit) => quotas.put(id, 'tokens', { limits: { month: limit } }),
    ],
  ])('of %s decides the first call of every other process that comes a second later', async (_, call, put) => {
    const [near, far] = world.callers as [Caller, Caller];
    for (const [limit, fits, refused] of [
      [8, 2, 3],
      [20, 14, 15],
    ] as const) {
      const projectId = newProject();
      await call(far, projectId, 6);
      // The other process knows the limit of 10, and what it refuses.
      await verdict(call(far, projectId, 5));
      await put(near, projectId, limit);
      await world.advance(1000);
      expect(await verdict(call(far, projectId, refused))).toMatch(/^(quota_exceeded|rate_limited)$/);
      expect(await verdict(call(far, projectId, fits))).toBe('ok');
    }
  });
});
