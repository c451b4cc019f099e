import { assert, asyncModelRun, asyncProperty } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../support/app.js';
import { newProject } from '../support/projects.js';
import { drain, sequences } from './queue-commands.js';
import { QueueModel, RealQueue } from './queue-model.js';

/** Each run is a queue of its own. */
const RUNS = Number(process.env['QUEUE_MODEL_RUNS'] ?? (process.env['SOAK'] ? 2000 : 60));
const SEED = process.env['SEED'];

describe('a queue against its reference model', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  it('keeps every job in exactly one place, and its counters true, whatever is done in whatever order', async () => {
    let ran = 0;
    await assert(
      asyncProperty(sequences, async (sequence) => {
        const model = new QueueModel();
        const real = new RealQueue(app, newProject());
        await asyncModelRun(() => ({ model, real }), sequence);
        await drain(model, real);
        ran += 1;
      }),
      { numRuns: RUNS, endOnFailure: false, ...(SEED ? { seed: Number(SEED) } : {}) },
    );
    expect(ran).toBeGreaterThanOrEqual(RUNS);
  }, 1_200_000);
});
