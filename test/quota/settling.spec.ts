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
