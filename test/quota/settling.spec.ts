import { afterAll, beforeAll, expect, it } from 'vitest';
import { newProject } from '../support/projects.js';
import { verdict } from './caller.js';
import { World } from './world.js';

let world: World;
beforeAll(async () => {
  world = await World.start({
    env: {
      RATE_LIMITS: JSON.stringify({ slow: { limit: 10, window_seconds: 600 } }),
      QUOTAS: JSON.stringify({
        held: { limits: { month: 3000 } },
        bucketOnly: { limits: {}, bucket: { limit: 64, window_seconds: 256 } },
        windowed: { limits: { month: 60 } },
      }),
    },
  });
}, 60_000);
afterAll(() => world[Symbol.asyncDispose]());

it('no accepted answer shows an unsettled hold', async () => {
  const { quotas, reservations } = world.caller;
  const projectId = newProject();
  for (let i = 0; i < 10; i += 1)
    await Promise.all(
      Array.from({ length: 100 }, () =>
        reservations.reserve(projectId, 'held', 1, { ttlSeconds: 60, onExpiry: 'refund' }),
      ),
    );
  await world.advance(61_000);
  expect((await quotas.consume(projectId, 'held', 1)).windows[0]).toMatchObject({ used: 1, held: 0 });
});
it('no answer of any kind shows an unsettled hold', async () => {
  const { quotas, reservations } = world.caller;
  type Id = ReturnType<typeof newProject>;
  const answers: Record<string, (projectId: Id, other: string) => Promise<unknown>> = {
    get: (id) => quotas.get(id, 'held'),
    list: async (id) => (await quotas.list(id, { limit: 10 })).items.find(({ resource }) => resource === 'held')!.state,
    peek: async (id) => (await quotas.peek(id, [{ resource: 'held', amount: 1 }])).items[0]!.state,
    consume: (id) => quotas.consume(id, 'held', 0),
    consumeAll: async (id) => (await quotas.consumeAll(id, [{ resource: 'held', amount: 0 }]))[0]!.state,
    put: (id) => quotas.put(id, 'held', { limits: { month: 3000 } }),
    usage: async (id) => {
      const series = await quotas.usage(id, 'held', { granularity: 'day' });
      return { windows: [{ used: series.at(-1)!.used, held: 0 }] };
    },
    // What they say is that everything is there for the others again.
    extend: async (id, other) => {
      const { remaining } = await reservations.extend(id, 'held', other, 0);
      return { windows: [{ used: 3000 - remaining!, held: 0 }] };
    },
    reserve: async (id) => {
      await reservations.reserve(id, 'held', 3000 - 20);
      const { windows } = await quotas.get(id, 'held');
      return { windows: windows.map((window) => ({ ...window, held: window.held - (3000 - 20) })) };
    },
    refusal: async (id) => {
      expect(await verdict(quotas.consume(id, 'held', 3000 - 20 + 1))).toBe('quota_exceeded');
      expect(await verdict(quotas.consume(id, 'held', 0))).toBe('ok');
      return quotas.get(id, 'held');
    },
  };
  for (const [name, ask] of Object.entries(answers)) {
    const projectId = newProject();
    const other = await reservations.reserve(projectId, 'held', 0, { ttlSeconds: 3600 });
    for (const onExpiry of ['refund', 'charge'] as const)
      await reservations.reserve(projectId, 'held', 20, { ttlSeconds: 60, onExpiry });
    await world.advance(61_000);
    expect(await ask(projectId, other.id), name).toMatchObject({ windows: [{ used: 20, held: 0 }] });
  }
});
it('when Redis steps forward, no call is refused or passed unchecked for it', async () => {
  const { quotas } = world.caller;
  const projectId = newProject();
  await quotas.consumeRate(projectId, 'slow', 10);
  world.redisClock.step(10_000);
  expect(await verdict(quotas.consumeRate(projectId, 'slow', 10))).toBe('rate_limited');
  world.redisClock.step(10_000);
  expect(await verdict(quotas.consume(projectId, 'held', 1))).toBe('ok');
});
it('a bucket with open holds is not refused from memory', async () => {
  const { quotas, reservations } = world.caller;
  const projectId = newProject();
  const hold = await reservations.reserve(projectId, 'bucketOnly', 60);
  expect(await verdict(quotas.consume(projectId, 'bucketOnly', 10))).toBe('quota_exceeded');
  await reservations.release(projectId, 'bucketOnly', hold.id);
  expect(await verdict(quotas.consume(projectId, 'bucketOnly', 10))).toBe('ok');
});
it('what a correction gives back is not refused from the memory of the process that made it', async () => {
  const { quotas, reservations } = world.caller;
  const projectId = newProject();
  const hold = await reservations.reserve(projectId, 'windowed', 60, { ttlSeconds: 1, onExpiry: 'charge' });
  await world.advance(2000);
  expect(await verdict(quotas.consume(projectId, 'windowed', 10))).toBe('quota_exceeded');
  await reservations.release(projectId, 'windowed', hold.id);
  expect(await verdict(quotas.consume(projectId, 'windowed', 10))).toBe('ok');
});
