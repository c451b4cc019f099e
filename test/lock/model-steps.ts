import { boolean, constant, constantFrom, oneof, toStringMethod, tuple, uniqueArray } from 'fast-check';
import type { LockModel, Part } from './lock-model.js';
import type { RealLock } from './real-lock.js';

export const OWNERS = ['anna', 'bert', 'carl', 'dora', 'emil'];

/** A lock and its reference, in one time. */
export interface World {
  readonly model: LockModel;
  readonly real: RealLock;
  /** Moves the clock of both. */
  readonly pass: (ms: number) => void;
  readonly flush: () => Promise<unknown>;
  /** The place that each was told when it queued up last. */
  readonly places: Map<string, number>;
}

/** One thing done to both. */
export interface Step {
  /** @returns what the lock answered, and what the reference says. */
  readonly run: (world: World) => Promise<readonly [real: unknown, model: unknown]>;
  /** How a failed run shows it. */
  [toStringMethod](): string;
}

function step(label: string, run: Step['run']): Step {
  return { run, [toStringMethod]: () => label };
}

const owner = constantFrom(...OWNERS);
const ttl = constantFrom(100, 1000, 30_000);

const NO_ANSWER = [undefined, undefined] as const;

const acquire = tuple(owner, ttl, boolean()).map(([name, ttlMs, waits]) =>
  step(`acquire ${name} ${ttlMs}${waits ? ' and wait' : ''}`, async ({ model, real, places }) => {
    const verdict = model.acquire(name, ttlMs, waits);
    if ('place' in verdict && waits) places.set(name, Number(verdict.place));
    return [await real.acquire(name, ttlMs, waits), verdict];
  }),
);

const release = owner.map((name) =>
  step(`release ${name}`, async ({ model, real }) => [await real.release(name), model.release(name)]),
);

const releaseHeld = constant(
  step('release by the holder', async ({ model, real }) => {
    const held = model.holder?.owner;
    return held === undefined ? NO_ANSWER : [await real.release(held), model.release(held)];
  }),
);

const extend = tuple(owner, ttl).map(([name, ttlMs]) =>
  step(`extend ${name} ${ttlMs}`, async ({ model, real }) => [
    await real.extend(name, ttlMs),
    model.extend(name, ttlMs),
  ]),
);

const beat = uniqueArray(owner, { minLength: 1 }).map((names) =>
  step(`beat ${names.join()}`, async ({ model, real, places }) => {
    const waiters = names.flatMap((name) => (places.has(name) ? [[name, places.get(name)!] as const] : []));
    return waiters.length === 0 ? NO_ANSWER : [await real.beat(waiters), model.beat(waiters)];
  }),
);

// Time stands still between the other steps; it may go back.
const pass = constantFrom(1, 400, 501, 1999, 2000, 61_000, -300).map((ms) =>
  step(`${ms} ms pass`, async (world) => {
    world.pass(ms);
    return NO_ANSWER;
  }),
);

const lose = constantFrom<Part>('lock', 'fence', 'queue', 'alive').map((what) =>
  step(`lose ${what}`, async ({ model, real }) => {
    model.lose(what);
    await real.lose(what);
    return NO_ANSWER;
  }),
);

const flush = constant(
  step('flush', async (world) => {
    world.model.flush();
    await world.flush();
    return NO_ANSWER;
  }),
);

export const STEPS = oneof(
  { weight: 6, arbitrary: acquire },
  { weight: 3, arbitrary: release },
  { weight: 2, arbitrary: releaseHeld },
  { weight: 1, arbitrary: extend },
  { weight: 2, arbitrary: beat },
  { weight: 4, arbitrary: pass },
  { weight: 1, arbitrary: lose },
  { weight: 1, arbitrary: flush },
);
