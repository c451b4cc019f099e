import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newProject } from '../support/projects.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { Caller, verdict } from './caller.js';
import { TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

const SECOND = 1000;
const ACTIONS = Array.from({ length: 12 }, (_, i) => `action-${i}`);
const FULL = { limits: { hour: 10_000, day: 10_000, month: 10_000 }, bucket: { limit: 10_000, window_seconds: 60 } };
const SETTINGS = {
  RATE_LIMITS: JSON.stringify(Object.fromEntries(ACTIONS.map((name) => [name, { limit: 100, window_seconds: 60 }]))),
  QUOTAS: JSON.stringify({ tokens: FULL, images: FULL, pages: FULL }),
};

describe('operations', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  let monitor: Redis;
  beforeAll(async () => {
    world = await World.start({ env: SETTINGS });
    monitor = await world.admin.monitor();
  }, TIMEOUT_MS);
  afterAll(async () => {
    monitor.disconnect();
    await world[Symbol.asyncDispose]();
  });

  it('are one EVALSHA each, for twelve rules as for one', async () => {
    const projectId = newProject();
    const { quotas, reservations } = world.caller;
    const rates = ACTIONS.map((action) => ({ action, cost: 1 }));
    const resources = ['tokens', 'images', 'pages'].map((resource) => ({ resource, amount: 1 }));
    const mixed = [...resources.slice(0, 2), ...rates.slice(0, 4)];
    const hold = await reservations.reserve(projectId, 'tokens', 5);
    const other = await reservations.reserve(projectId, 'tokens', 5);
    const operations: Record<string, () => Promise<unknown>> = {
      'hit 12 buckets': () => quotas.hit(projectId, rates),
      'charge 12 buckets': () => quotas.charge(projectId, rates),
      'charge 3 resources with 4 rules each': () => quotas.charge(projectId, resources),
      'charge 8 rules of resources and 4 of actions': () => quotas.charge(projectId, mixed),
      'charge with a key': () => quotas.charge(projectId, mixed, { idempotencyKey: 'key' }),
      'consume of a rate limit': () => quotas.consumeRate(projectId, 'action-0'),
      'consume with 4 rules': () => quotas.consume(projectId, 'tokens', 1),
      refusal: () => verdict(quotas.consume(projectId, 'tokens', 10_001)),
      peek: () => quotas.get(projectId, 'tokens'),
      reserve: () => reservations.reserve(projectId, 'tokens', 1),
      extend: () => reservations.extend(projectId, 'tokens', hold.id, 3),
      'extend beyond the hold': () => reservations.extend(projectId, 'tokens', hold.id, 9),
      commit: () => reservations.commit(projectId, 'tokens', hold.id, 7),
      release: () => reservations.release(projectId, 'tokens', other.id),
    };
    const sent: string[] = [];
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      if (source !== 'lua' && args.some((arg) => arg.includes(projectId))) sent.push(args[0]!.toLowerCase());
    });
    for (const [name, operation] of Object.entries(operations)) {
      // The first call of each brings the script's text.
      await operation();
      await world.admin.config('RESETSTAT');
      sent.length = 0;
      await operation();
      const stats = await world.admin.info('commandstats');
      expect(stats, name).toContain('cmdstat_evalsha:calls=1,');
      expect(stats, name).not.toContain('cmdstat_eval:');
      await until(() => sent.length > 0, 'what was sent');
      expect(sent, name).toEqual(['evalsha']);
    }
  });

  it('of every request cost Redis a command, and two for each bucket', async () => {
    const projectId = newProject();
    const rates = ACTIONS.map((action) => ({ action, cost: 1 }));
    const commands: string[] = [];
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      // A policy that is known for longer than a second is compared first.
      if (source === 'lua' && args[0] !== 'HMGET') commands.push(args[0]!.toUpperCase());
    });
    for (const count of [1, 2, 12]) {
      commands.length = 0;
      await world.caller.quotas.hit(projectId, rates.slice(0, count));
      await until(() => commands.length >= 1 + 2 * count, 'what the script called');
      expect(commands.toSorted()).toEqual([...Array(count).fill('GET'), ...Array(count).fill('SET'), 'TIME']);
    }
  });

  it('charge once when the connection is cut after the script ran, and the call is repeated', async () => {
    const projectId = newProject();
    await using proxy = await TcpProxy.to(world.redis.port);
    await using caller = await Caller.start({ ...SETTINGS, REDIS_URL: proxy.through(world.redis.appUrl) });
    const { quotas, reservations } = caller;
    const committed = await reservations.reserve(projectId, 'tokens', 50);
    const keys = Array.from({ length: 10 }, (_, i) => ({ idempotencyKey: `key ${i}` }));
    const calls = [
      ...keys.map((key, i) => () => quotas.consume(projectId, 'tokens', 1 + i, key)),
      ...keys.map((key, i) => () => quotas.consumeAll(projectId, [{ resource: 'tokens', amount: 10 + i }], key)),
      ...keys.map((key) => () => reservations.reserve(projectId, 'tokens', 20, key)),
      () => reservations.commit(projectId, 'tokens', committed.id, 40),
    ];
    const used = 55 + 145 + 40;
    // As an administrator: no connection of the product sees it.
    const month = Date.UTC(2031, 4) / SECOND;
    const charged = (): Promise<string | null> => world.admin.get(`proj:${projectId}:quota:tokens:month:${month}`);

    proxy.swallow = 'answers';
    const lost = calls.map((call) => verdict(call()));
    // Commands share writes, and the first of these is on its way: some of the calls have run, others have not.
    await until(async () => (await charged()) !== '0+50', 'some ran');
    proxy.cut();
    expect(new Set(await Promise.all(lost))).toEqual(new Set(['redis_unavailable']));
    proxy.swallow = false;
    await until(async () => (await verdict(quotas.get(projectId, 'tokens'))) === 'ok', 'the connection is back');

    const answers = await Promise.all(calls.map((call) => call()));
    expect(answers.at(-1)).toEqual({ charged: 40, overrun: 0 });
    expect(await charged()).toBe(`${used}+200`);
    const again = await Promise.all(calls.map((call) => call()));
    expect(again).toEqual(answers);
    expect(await charged()).toBe(`${used}+200`);
  });

  it('leaves nothing but what the owner has set, 30 s after the last of it has expired', async () => {
    const projectId = newProject();
    const { quotas, reservations } = world.caller;
    await quotas.put(projectId, 'tokens', { limits: { day: 500 } });
    await quotas.putRate(projectId, 'action-0', { limit: 20, window_seconds: 60 });
    await quotas.consumeRate(projectId, 'action-0', 3, { idempotencyKey: 'a' });
    await quotas.consumeAll(projectId, [
      { resource: 'images', amount: 2 },
      { action: 'action-1', cost: 1 },
    ]);
    const holds = await Promise.all(
      Array.from({ length: 4 }, () => reservations.reserve(projectId, 'tokens', 5, { idempotencyKey: 'b' })),
    );
    expect(new Set(holds.map(({ id }) => id)).size).toBe(1);
    await reservations.extend(projectId, 'tokens', holds[0]!.id, 7);
    const other = await reservations.reserve(projectId, 'images', 1);
    await reservations.commit(projectId, 'images', other.id, 2);
    const released = await reservations.reserve(projectId, 'images', 1);
    await reservations.release(projectId, 'images', released.id);

    const settings = [`proj:${projectId}:config:limits`];
    const keys = await world.keysOf(projectId);
    expect(keys.length).toBeGreaterThan(15);
    let last = 0;
    for (const key of keys) {
      const expires = Number(await world.admin.call('PEXPIRETIME', key));
      expect(expires > world.now || settings.includes(key), key).toBe(true);
      last = Math.max(last, expires);
    }
    await world.stepRedis(last + 30 * SECOND - world.now);
    expect(await world.keysOf(projectId)).toEqual(settings);
    // The hold that nobody ended left no trace that a later reading could trip over.
    expect((await quotas.get(projectId, 'tokens')).windows).toMatchObject([{ used: 0, held: 0 }]);
  });
});
