import { describe, expect, it } from 'vitest';
import { until } from '../../test/support/until.js';
import { Breaker } from './breaker.js';

const broken = (probeMs: number): Breaker => {
  const breaker = new Breaker(3, probeMs);
  for (let i = 0; i < 3; i += 1) breaker.fail();
  return breaker;
};

describe('the breaker', () => {
  it('opens after three failures in a row, and not before', () => {
    const breaker = new Breaker(3, 60_000);
    breaker.fail();
    breaker.fail();
    expect([breaker.open, breaker.allow()]).toEqual([false, true]);
    breaker.succeed();
    breaker.fail();
    breaker.fail();
    expect([breaker.open, breaker.allow()]).toEqual([false, true]);
    breaker.fail();
    expect([breaker.open, breaker.allow()]).toEqual([true, false]);
  });

  it('lets one probe through at a time, and no other call', async () => {
    const breaker = broken(50);
    await until(() => breaker.allow(), 'the probe');
    expect(breaker.allow()).toBe(false);
    breaker.fail();
    await until(() => breaker.allow(), 'the next probe');
  });

  it('closes with the first success', () => {
    const breaker = broken(60_000);
    breaker.succeed();
    expect([breaker.open, breaker.allow(), breaker.allow()]).toEqual([false, true, true]);
  });
});
