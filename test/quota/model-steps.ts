import { deepStrictEqual, ok } from 'node:assert/strict';
import { type Arbitrary, type AsyncCommand, constantFrom, integer, nat, oneof, option, record } from 'fast-check';
import type { ProjectId } from '../../src/common/project-id.js';
import { CallError } from './caller.js';
import type { ModelPolicy, OnExpiry, QuotaModel } from './model.js';
import type { World } from './world.js';

/** The product's side: a project in a world, and the ids of its holds in the order of the model's. */
export interface Real {
  readonly world: World;
  readonly projectId: ProjectId;
  readonly ids: string[];
}

// A quarter of a token per second: its doubles are exact, in the model and in Redis.
const BUCKET = { limit: 64, window_seconds: 256 };
export const POLICIES: readonly ModelPolicy[] = [
  { limits: { minute: 60, hour: 120, day: 300, month: 400 }, bucket: BUCKET },
  { limits: { hour: 90, month: 1000 }, bucket: BUCKET },
  { limits: { minute: 20, day: 200 }, bucket: { limit: 128, window_seconds: 512 } },
  { limits: { month: 500 }, bucket: { limit: 32, window_seconds: 8 } },
  { limits: { day: 0 }, bucket: BUCKET },
  { limits: { minute: 45, hour: 150 } },
  { limits: {}, bucket: BUCKET },
];

/** What a step made of both sides. */
interface Pair {
  readonly product: unknown;
  readonly model: unknown;
}

/** A step of both, whose answers must be alike, and after which both must show the same. */
export class Step implements AsyncCommand<QuotaModel, Real> {
  static taken = 0;

  constructor(
    private readonly name: string,
    private readonly step: (model: QuotaModel, real: Real) => Promise<Pair | undefined>,
    private readonly needsHold = false,
  ) {}

  check(model: Readonly<QuotaModel>): boolean {
    return !this.needsHold || model.holds.length > 0;
  }

  async run(model: QuotaModel, real: Real): Promise<void> {
    Step.taken += 1;
    model.settle();
    const answers = await this.step(model, real);
    deepStrictEqual(answers?.product, answers?.model);
    model.settle();
    const { windows, bucket } = await real.world.caller.quotas.get(real.projectId, 'tokens');
    const shown = {
      windows: windows.map(({ kind, limit, used, held }) => ({ kind, limit, used, held })),
      ...(bucket ? { remaining: bucket.remaining } : {}),
    };
    deepStrictEqual(shown, model.view());
    ok(model.level >= model.leastLevel, `${model.level} are counted where ${model.leastLevel} must be`);
  }

  toString(): string {
    return this.name;
  }
}

const step = <T extends object>(
  name: string,
  parameters: Arbitrary<T>,
  run: (chosen: T, model: QuotaModel, real: Real) => Promise<Pair | undefined>,
): Arbitrary<Step> =>
  parameters.map((chosen) => new Step(`${name} ${JSON.stringify(chosen)}`, (model, real) => run(chosen, model, real)));

const ofHold = (
  name: string,
  run: (model: QuotaModel, real: Real, index: number, amount: number) => Promise<Pair>,
): Arbitrary<Step> =>
  record({ hold: nat(), amount: nat(40) }).map(
    ({ hold, amount }) =>
      new Step(`${name} ${hold} ${amount}`, (model, real) => run(model, real, hold % model.holds.length, amount), true),
  );

const consume = step(
  'consume',
  record({ amount: nat(40), key: option(constantFrom('a', 'b'), { freq: 2, nil: undefined }) }),
  async ({ amount, key: idempotencyKey }, model, { world, projectId }) => {
    const product = await outcome(world.caller.quotas.consume(projectId, 'tokens', amount, { idempotencyKey }));
    const replayed = idempotencyKey === undefined ? undefined : model.replay(idempotencyKey, `${amount}`);
    if (replayed) return { product, model: replayed === 'conflict' ? 'conflict' : replayed.value };
    if (!model.consume(amount)) return { product, model: 'quota_exceeded' };
    if (idempotencyKey !== undefined) model.remember(idempotencyKey, `${amount}`, product);
    return { product: typeof product, model: 'object' };
  },
);

const reserve = step(
  'reserve',
  record({
    amount: nat(40),
    ttlSeconds: integer({ min: 1, max: 900 }),
    onExpiry: constantFrom<OnExpiry>('charge_reported', 'charge', 'refund'),
  }),
  async ({ amount, ttlSeconds, onExpiry }, model, { world, projectId, ids }) => {
    const options = { ttlSeconds, onExpiry };
    const product = await outcome(world.caller.reservations.reserve(projectId, 'tokens', amount, options));
    const { id } = product as { id: string };
    if (!model.reserve(id, amount, ttlSeconds, onExpiry)) return { product, model: 'quota_exceeded' };
    ids.push(id);
    return { product, model: { id, amount, expiresAt: model.now + ttlSeconds * 1000 } };
  },
);

const extend = ofHold('extend', async (model, { world, projectId, ids }, i, used) => ({
  product: await world.caller.reservations.extend(projectId, 'tokens', ids[i]!, used),
  model: model.extend(model.holds[i]!, used),
}));

const commit = ofHold('commit', async (model, { world, projectId, ids }, i, amount) => ({
  product: await outcome(world.caller.reservations.commit(projectId, 'tokens', ids[i]!, amount)),
  model: model.commit(model.holds[i]!, amount) ?? 'conflict',
}));

const release = ofHold('release', async (model, { world, projectId, ids }, i) => ({
  product: await world.caller.reservations.release(projectId, 'tokens', ids[i]!),
  model: model.release(model.holds[i]!),
}));

const advance = step(
  'advance',
  record({ seconds: integer({ min: 1, max: 400 }) }),
  async ({ seconds }, model, real) => {
    await real.world.advance(seconds * 1000);
    model.advance(seconds * 1000);
    return undefined;
  },
);

const put = step('put', constantFrom(...POLICIES), async (policy, model, { world, projectId }) => {
  await world.caller.quotas.put(projectId, 'tokens', policy);
  model.put(policy);
  return undefined;
});

/** All that callers and time do. */
export const STEPS: Arbitrary<Step>[] = [
  oneof(consume, reserve, extend, advance),
  oneof(consume, reserve, extend, commit, release, advance),
];
/** And what owners do. */
export const STEPS_OF_OWNERS: Arbitrary<Step>[] = [...STEPS, oneof(consume, reserve, extend, advance, put)];

/** @returns the value, or the code of the error. */
async function outcome<T>(call: Promise<T>): Promise<T | string> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof CallError) return error.code;
    throw error;
  }
}
