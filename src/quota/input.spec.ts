import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const ODD: Json[] = [null, true, [], [null], [[]], [{}], {}, { a: null }, '', 'a:b', '1', -1, 0.5, 1e13, 1e300];

const POLICY = {
  limits: { minute: 1, hour: 1, day: 1, month: 1 },
  bucket: { limit: 1, window_seconds: 1 },
  kinds: { input: 1 },
  dry_run: false,
  on_redis_failure: 'open',
};
const RATE = { limit: 1, window_seconds: 1, per_user: false, dry_run: false };
const USE = { amount: 1, kinds: { input: 1 } };

/** The body once for each place in it, with the value there. */
function* variants(body: Json, value: Json, path = ''): Generator<[string, Json]> {
  if (path !== '') yield [path, value];
  if (typeof body !== 'object' || body === null) return;
  for (const [name, inner] of Object.entries(body)) {
    for (const [where, other] of variants(inner, value, path === '' ? name : `${path}.${name}`)) {
      const changed = Array.isArray(body) ? [...body] : { ...body };
      (changed as Record<string, Json>)[name] = other;
      yield [where, changed];
    }
  }
}

describe('odd input', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({
      env: {
        QUOTAS: JSON.stringify({ tokens: { limits: {}, kinds: { input: 1 } } }),
        RATE_LIMITS: JSON.stringify({
          api: { limit: 100_000, window_seconds: 60 },
          free: { limit: 100_000, window_seconds: 60 },
        }),
      },
    });
  });
  afterAll(() => app.close());

  // Programs write null for what they leave out; and `1` is a name.
  it.each<[string, (owner: Caller) => ReturnType<Caller['post']>, Json, string[]]>([
    ['a charge', (owner) => owner.post('/quotas/tokens/consume'), USE, ['kinds null', 'kinds {}']],
    [
      'a charge of several',
      (owner) => owner.post('/quotas/consume'),
      {
        items: [
          { resource: 'tokens', ...USE },
          { action: 'free', cost: 1 },
        ],
        user: 'ann',
      },
      ['items.0.kinds null', 'user null', 'items.0.kinds {}', 'user "1"'],
    ],
    [
      'a reservation',
      (owner) => owner.post('/quotas/tokens/reservations'),
      { amount: 1, ttl_seconds: 60, on_expiry: 'charge' },
      [],
    ],
    [
      'a rate-limited call',
      (owner) => owner.post('/rate-limits/free/consume'),
      { cost: 1, user: 'ann' },
      ['user null', 'user "1"'],
    ],
    [
      'a policy',
      (owner) => owner.put('/quotas/own'),
      POLICY,
      [
        ...['limits.minute', 'limits.hour', 'limits.day', 'limits.month'].map((path) => `${path} null`),
        ...['bucket', 'kinds', 'dry_run', 'on_redis_failure'].map((path) => `${path} null`),
        'dry_run true',
        'limits {}',
        'kinds {}',
        'kinds.input 0.5',
      ],
    ],
    [
      'a policy of a rate limit',
      (owner) => owner.put('/rate-limits/own'),
      { ...RATE, also: [{ ...RATE, window_seconds: 60 }], on_redis_failure: 'open' },
      [
        ...['per_user', 'dry_run', 'also', 'also.0.per_user', 'also.0.dry_run', 'on_redis_failure'].map(
          (path) => `${path} null`,
        ),
        ...['per_user', 'dry_run', 'also.0.per_user', 'also.0.dry_run'].map((path) => `${path} true`),
        'also []',
      ],
    ],
  ])('in %s is refused with 400, which names the field', async (_, call, body, accepted) => {
    const owner = await app.caller('owner');
    const taken: string[] = [];
    const astray: string[] = [];
    for (const odd of ODD) {
      for (const [path, changed] of variants(body, odd)) {
        const { status, body: problem } = await call(owner).send(changed as object);
        const what = `${path} ${JSON.stringify(odd)}`;
        const fields = ((problem.errors ?? []) as { field: string }[]).map(({ field }) => field);
        const named = fields.some((field) => `${path}.`.startsWith(`${field}.`) || field.startsWith(`${path}.`));
        // A name that nobody gave a policy.
        if (status === 404 && odd === '1') continue;
        if (status < 300) taken.push(what);
        else if (status !== 400 || !named) astray.push(`${what}: ${status} ${fields.join()}`);
      }
    }
    expect(astray).toEqual([]);
    expect(taken).toEqual(accepted);
  });
});
