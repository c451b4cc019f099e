import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { Timings } from './timings.js';

describe('timings', () => {
  const options = { name: 'call_seconds', help: 'How long a call took.', labelNames: ['role', 'op'] as const };
  const buckets = [0.001, 0.01, 0.1];

  it('read in a scrape as a histogram of prom-client does', async () => {
    const [ours, theirs] = [new Registry(), new Registry()];
    const timings = new Timings({ ...options, buckets, registry: ours });
    const histogram = new Histogram({ ...options, labelNames: [...options.labelNames], buckets, registers: [theirs] });
    expect(await ours.metrics()).toBe(await theirs.metrics());
    for (const [op, all] of Object.entries({ get: [0, 1, 1.5, 10, 99.5, 1e6], 'set "it"': [100] }))
      for (const ms of all) {
        timings.observe(ms, 'state', op);
        histogram.observe({ role: 'state', op }, ms / 1000);
      }
    timings.observe(5, 'cache', 'get');
    histogram.observe({ role: 'cache', op: 'get' }, 0.005);
    expect(await ours.metrics()).toBe(await theirs.metrics());
    for (const registry of [ours, theirs]) registry.resetMetrics();
    expect(await ours.metrics()).toBe(await theirs.metrics());
  });

  it('have a name of their own', () => {
    const registry = new Registry();
    const make = () => new Timings({ ...options, buckets, registry });
    make();
    expect(make).toThrow(/already been registered/);
  });
});
