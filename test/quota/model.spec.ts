import { type Arbitrary, assert, asyncModelRun, asyncProperty, commands } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newProject } from '../support/projects.js';
import { type ModelPolicy, QuotaModel } from './model.js';
import { POLICIES, Step, STEPS, STEPS_OF_OWNERS } from './model-steps.js';
import { figure, scaled, SEED } from '../support/scale.js';
import { TIMEOUT_MS } from './scale.js';
import { World } from './world.js';

// An hour, a day and a month end while the steps are taken.
const START = Date.UTC(2031, 0, 31, 22, 30);

describe('the reference model', { timeout: TIMEOUT_MS }, () => {
  let world: World;
  beforeAll(async () => {
    world = await World.start({ at: START, env: { QUOTAS: JSON.stringify({ tokens: POLICIES[0] }) } });
  }, TIMEOUT_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  /** @param check looks at the model after each run. */
  async function agree(steps: Arbitrary<Step>[], check: (model: QuotaModel) => void): Promise<void> {
    const before = Step.taken;
    const property = asyncProperty(commands(steps, { maxCommands: scaled(60, 150), size: 'max' }), async (run) => {
      await world.stepRedis(START - world.now);
      await world.admin.flushdb();
      const model = new QuotaModel(START, POLICIES[0]!);
      const projectId = newProject();
      await asyncModelRun(() => ({ model, real: { world, projectId, ids: [] } }), run);
      check(model);
      await leavesNothing(projectId);
    });
    await assert(property, { numRuns: scaled(50, 2000), seed: SEED });
    figure('model', { steps: Step.taken - before, seed: SEED });
  }

  /** Whatever was done, every key but the owner's settings expires, and 30 s after the last of them none is left. */
  async function leavesNothing(projectId: string): Promise<void> {
    const settings = `proj:${projectId}:config:limits`;
    const keys = (await world.keysOf(projectId)).filter((key) => key !== settings);
    const ends = await Promise.all(keys.map(async (key) => Number(await world.admin.call('PEXPIRETIME', key))));
    expect(keys.filter((_, i) => ends[i]! <= 0)).toEqual([]);
    await world.stepRedis(Math.max(world.now, ...ends) + 30_000 - world.now);
    expect((await world.keysOf(projectId)).filter((key) => key !== settings)).toEqual([]);
  }

  it('agrees after every step, and no window is overspent', async () => {
    await agree(STEPS, (model) => {
      for (const [kind, limit] of Object.entries(POLICIES[0]!.limits))
        expect(model.worstOf(kind as keyof ModelPolicy['limits']), kind).toBeLessThanOrEqual(limit);
    });
  });

  it('agrees after every step when an owner changes the limits', async () => {
    await agree(STEPS_OF_OWNERS, () => undefined);
  });
});
