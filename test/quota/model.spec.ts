import {
  type AsyncCommand,
  asyncModelRun,
  asyncProperty,
  assert,
  type Arbitrary,
  commands,
  constantFrom,
  integer,
  nat,
  option,
  record,
} from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newProject } from '../support/projects.js';
import type { ProjectId } from '../../src/common/project-id.js';
import type { WindowKind } from '../../src/quota/policy.js';
import { CallError } from './caller.js';
import { type ModelPolicy, type OnExpiry, QuotaModel } from './model.js';
import { figure, scaled, SEED, TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

// An hour, a day and a month end while the commands run.
const START = Date.UTC(2031, 0, 31, 22, 30);
// A quarter of a token per second: its doubles are exact, in the model and in Redis.
const BUCKET = { limit: 64, window_seconds: 256 };
const POLICIES: ModelPolicy[] = [
  { limits: { minute: 60, hour: 120, day: 300, month: 400 }, bucket: BUCKET },
  { limits: { hour: 90, month: 1000 }, bucket: BUCKET },
  { limits: { minute: 20, day: 200 }, bucket: { limit: 128, window_seconds: 512 } },
  { limits: { month: 500 }, bucket: { limit: 32, window_seconds: 8 } },
  { limits: { day: 0 }, bucket: BUCKET },
  { limits: { minute: 45, hour: 150 } },
  { limits: {}, bucket: BUCKET },
];
const KINDS: WindowKind[] = ['minute', 'hour', 'day', 'month'];

interface Real {
  readonly projectId: ProjectId;
  readonly ids: string[];
}

describe('the reference model', () => {
  let world: World;
  let steps = 0;
  beforeAll(async () => {
    world = await World.start({ at: START, env: { QUOTAS: JSON.stringify({ tokens: POLICIES[0] }) } });
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  /** A step of both, after which both must show the same. */
  class Step implements AsyncCommand<QuotaModel, Real> {
    constructor(
      private readonly name: string,
      private readonly step: (model: QuotaModel, real: Real) => Promise<void>,
      private readonly needsHold = false,
    ) {}

    check(model: Readonly<QuotaModel>): boolean {
      return !this.needsHold || model.holds.length > 0;
    }

    async run(model: QuotaModel, real: Real): Promise<void> {
      steps += 1;
      model.settle();
      await this.step(model, real);
      model.settle();
      const { windows, bucket } = await world.caller.quotas.get(real.projectId, 'tokens');
      expect({
        windows: windows.map(({ kind, limit, used, held }) => ({ kind, limit, used, held })),
        ...(bucket ? { remaining: bucket.remaining } : {}),
      }).toEqual(model.view());
    }

    toString(): string {
      return this.name;
    }
  }

  const named = (name: string, parameters: object): string => `${name} ${JSON.stringify(parameters)}`;
  const ofHold = (
    name: string,
    call: (model: QuotaModel, real: Real, index: number, amount: number) => Promise<void>,
  ): Arbitrary<Step> =>
    record({ hold: nat(), amount: nat(40) }).map(
      (parameters) =>
        new Step(
          named(name, parameters),
          (model, real) => call(model, real, parameters.hold % model.holds.length, parameters.amount),
          true,
        ),
    );

  const consume = record({ amount: nat(40), key: option(constantFrom('a', 'b'), { freq: 2 }) }).map(
    ({ amount, key }) =>
      new Step(named('consume', { amount, key }), async (model, { projectId }) => {
        const body = `consume ${amount}`;
        const replayed = key === null ? undefined : model.replay(key, body);
        const options = key === null ? {} : { idempotencyKey: key };
        const answer = await outcome(world.caller.quotas.consume(projectId, 'tokens', amount, options));
        if (replayed === 'conflict') expect(answer).toBe('conflict');
        else if (replayed) expect(answer).toEqual(replayed.value);
        else if (!model.consume(amount)) expect(answer).toBe('quota_exceeded');
        else {
          expect(answer).toMatchObject({ windows: expect.anything() });
          if (key !== null) model.remember(key, body, answer);
        }
      }),
  );
  const reserve = record({
    amount: nat(40),
    ttlSeconds: integer({ min: 1, max: 900 }),
    onExpiry: constantFrom<OnExpiry>('charge_reported', 'charge', 'refund'),
  }).map(
    ({ amount, ttlSeconds, onExpiry }) =>
      new Step(named('reserve', { amount, ttlSeconds, onExpiry }), async (model, { projectId, ids }) => {
        const answer = await outcome(
          world.caller.reservations.reserve(projectId, 'tokens', amount, { ttlSeconds, onExpiry }),
        );
        if (!model.reserve(amount, ttlSeconds, onExpiry)) return expect(answer).toBe('quota_exceeded');
        expect(answer).toMatchObject({ amount, expiresAt: model.now + ttlSeconds * 1000 });
        ids.push((answer as { id: string }).id);
        return undefined;
      }),
  );
  const extend = ofHold('extend', async (model, { projectId, ids }, i, used) => {
    const answer = await world.caller.reservations.extend(projectId, 'tokens', ids[i]!, used);
    expect(answer).toEqual(model.extend(model.holds[i]!, used));
  });
  const commit = ofHold('commit', async (model, { projectId, ids }, i, amount) => {
    const answer = await outcome(world.caller.reservations.commit(projectId, 'tokens', ids[i]!, amount));
    expect(answer).toEqual(model.commit(model.holds[i]!, amount) ?? 'conflict');
  });
  const release = ofHold('release', async (model, { projectId, ids }, i) => {
    await world.caller.reservations.release(projectId, 'tokens', ids[i]!);
    model.release(model.holds[i]!);
  });
  const put = constantFrom(...POLICIES).map(
    (policy) =>
      new Step(named('put', policy), async (model, { projectId }) => {
        await world.caller.quotas.put(projectId, 'tokens', policy);
        model.put(policy);
      }),
  );
  const advance = integer({ min: 1, max: 400 }).map(
    (seconds) =>
      new Step(named('advance', { seconds }), async (model) => {
        await world.advance(seconds * 1000);
        model.advance(seconds * 1000);
      }),
  );
  const all = [consume, consume, reserve, reserve, extend, extend, commit, release, advance, advance];

  async function agree(arbitraries: Arbitrary<Step>[], numRuns: number, fixed: boolean): Promise<void> {
    const size = scaled(50, 150);
    await assert(
      asyncProperty(commands(arbitraries, { maxCommands: size, size: 'max' }), async (run) => {
        await world.stepRedis(START - world.now);
        await world.admin.flushdb();
        const model = new QuotaModel(START, POLICIES[0]!);
        await asyncModelRun(() => ({ model, real: { projectId: newProject(), ids: [] } }), run);
        if (!fixed) return;
        for (const kind of KINDS) expect(model.worstOf(kind)).toBeLessThanOrEqual(POLICIES[0]!.limits[kind]!);
      }),
      { numRuns, seed: SEED },
    );
  }

  it('agrees after every step, and no window is overspent', { timeout: TIMEOUT_MS }, async () => {
    await agree(all, scaled(40, 1500), true);
    figure('model', { steps, seed: SEED });
  });

  it('agrees after every step when an owner changes the limits', { timeout: TIMEOUT_MS }, async () => {
    await agree([...all, put], scaled(40, 1500), false);
    figure('model', { steps, seed: SEED });
  });
});

/** @returns the value, or the code of the error. */
async function outcome<T>(call: Promise<T>): Promise<T | string> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof CallError) return error.code;
    throw error;
  }
}
