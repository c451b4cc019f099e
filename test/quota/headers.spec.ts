import { parseList } from 'structured-headers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newProject, tokenFor } from '../support/projects.js';
import { TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

const SECOND = 1000;

describe('the headers of a refusal', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  let url: string;
  beforeAll(async () => {
    world = await World.start({
      env: {
        RATE_LIMITS: JSON.stringify({
          api: { limit: 1_000_000, window_seconds: 60 },
          two: { limit: 2, window_seconds: 2 },
          odd: { limit: 7, window_seconds: 13 },
          slow: { limit: 10, window_seconds: 600 },
        }),
      },
    });
    url = await world.caller.work.listen();
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  it('are true: who waits Retry-After passes, and neither a second earlier nor is told to wait one longer', async () => {
    for (const [action, limit, window] of [
      ['two', 2, 2],
      ['odd', 7, 13],
      ['slow', 10, 600],
    ] as const) {
      for (const [cost, pause] of [1, 2].flatMap((each) => [0, 3].map((ms) => [each, ms] as const))) {
        const projectId = newProject();
        const token = await tokenFor(projectId);
        const consume = async () => {
          const response = await fetch(`${url}/v1/projects/${projectId}/rate-limits/${action}/consume`, {
            method: 'POST',
            headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
            body: JSON.stringify({ cost }),
          });
          const { remaining } = (await response.json()) as { remaining: number };
          const policy = item(response.headers.get('RateLimit-Policy'), action);
          const state = item(response.headers.get('RateLimit'), action);
          const retryAfter = response.headers.get('Retry-After');
          expect(policy).toEqual({ q: limit, w: window });
          expect(state['r']).toBe(remaining);
          return { status: response.status, t: Number(state['t']), remaining, retryAfter };
        };
        let left = limit;
        while (left >= cost) {
          const { status, t, remaining, retryAfter } = await consume();
          left -= cost;
          expect({ status, remaining, retryAfter }).toEqual({ status: 200, remaining: left, retryAfter: null });
          expect(t).toBe(Math.ceil(((limit - left) * window) / limit));
        }
        await world.advance(pause);
        const refused = await consume();
        expect(refused.status).toBe(429);
        const seconds = Number(refused.retryAfter);
        expect(seconds).toBe(Math.ceil(((cost - left) * window) / limit - pause / SECOND));
        expect(refused.t).toBe(seconds);
        await world.advance((seconds - 1) * SECOND);
        expect((await consume()).status, `${action} ${cost} a second early`).toBe(429);
        await world.advance(SECOND);
        expect((await consume()).status, `${action} ${cost}`).toBe(200);
      }
    }
  });

  it('are true also where a process refuses from memory', async () => {
    const { quotas } = world.caller;
    for (const [first, then] of [
      [2, 2],
      [2, 5],
    ] as const) {
      const projectId = newProject();
      const token = await tokenFor(projectId);
      const consume = (cost: number) =>
        fetch(`${url}/v1/projects/${projectId}/rate-limits/odd/consume`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
          body: JSON.stringify({ cost }),
        });
      await quotas.consumeRate(projectId, 'odd', 7);
      expect((await consume(first)).status).toBe(429);
      await world.advance(SECOND / 2);
      // Its counter gone, Redis itself would let it pass.
      const bucket = `proj:${projectId}:ratelimit:odd:13`;
      const bytes = (await world.admin.getBuffer(bucket))!;
      await world.admin.del(bucket);
      const refused = await consume(then);
      await world.admin.set(bucket, bytes, 'EX', 3600);
      expect(refused.status).toBe(429);
      const seconds = Number(refused.headers.get('Retry-After'));
      expect(item(refused.headers.get('RateLimit'), 'odd')['t']).toBe(seconds);
      expect(seconds).toBe(Math.ceil((then * 13) / 7 - 1 / 2));
      await world.advance((seconds - 1) * SECOND);
      expect((await consume(then)).status, 'a second early').toBe(429);
      await world.advance(SECOND);
      expect((await consume(then)).status).toBe(200);
    }
  });
});

/** The parameters of an item in a list of RFC 9651, as a library reads it. */
function item(header: string | null, name: string): Record<string, unknown> {
  const [, parameters] = parseList(header!).find(([value]) => value === name)!;
  return Object.fromEntries(parameters as Map<string, unknown>);
}
