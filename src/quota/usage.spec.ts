import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';

describe('usage series', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ env: { QUOTAS: JSON.stringify({ pages: { limits: { month: 30 } } }) } });
  });
  afterAll(() => app.close());

  it('show what was charged window by window, out of the very counters that limit', async () => {
    const caller = await app.caller('editor');
    await caller.post('/quotas/pages/consume').send({ amount: 4 }).expect(200);
    await caller.post('/quotas/pages/consume').send({ amount: 3 }).expect(200);
    const usage = async (query: string): Promise<{ start: string; used: number }[]> =>
      (await caller.get(`/quotas/pages/usage?${query}`).expect(200)).body.items;
    const sum = (items: { used: number }[]): number => items.reduce((total, { used }) => total + used, 0);

    const days = await usage('granularity=day');
    expect(days).toHaveLength(31);
    expect(days.at(-1)).toEqual({ start: expect.stringMatching(/T00:00:00\.000Z$/), used: 7 });
    expect(sum(await usage('granularity=hour'))).toBe(7);
    expect(sum(await usage('granularity=minute'))).toBe(7);
    const past = await usage('granularity=day&from=2024-02-28T10:00:00Z&to=2024-03-01T00:00:00.000Z');
    expect(past.map(({ start, used }) => [start.slice(0, 10), used])).toEqual([
      ['2024-02-28', 0],
      ['2024-02-29', 0],
    ]);
    for (const wrong of [
      '',
      'granularity=month',
      'granularity=day&from=yesterday',
      'granularity=day&from=2025-01-02T00:00:00Z&to=2025-01-01T00:00:00Z',
      'granularity=minute&from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z',
    ])
      expect((await caller.get(`/quotas/pages/usage?${wrong}`).expect(400)).body.code).toBe('validation_failed');
  });

  it('begin and end at any moment of RFC 3339, are not paged, and refuse by name what is neither', async () => {
    const caller = await app.caller('editor');
    const usage = (query: Record<string, string>) =>
      caller.get(`/quotas/pages/usage?${String(new URLSearchParams({ granularity: 'day', ...query }))}`);
    const to = '2026-01-03T00:00:00Z';
    for (const from of [
      '2026-01-02T00:00:00Z',
      '2026-01-02T00:00:00.000000001Z',
      '2026-01-02t12:00:00z',
      '2026-01-02T01:00:00+01:00',
      '2026-01-01T19:00-05:00',
      '2026-01-02',
    ]) {
      const { items } = (await usage({ from, to }).expect(200)).body as { items: { start: string }[] };
      expect(
        items.map(({ start }) => start),
        from,
      ).toEqual(['2026-01-02T00:00:00.000Z']);
    }
    for (const moment of [
      '',
      'now',
      '0',
      '1767225600000',
      '2026',
      '2026-01',
      '20260102',
      '2026-W01',
      '2026-W01-1',
      '2026W011',
      '2026-002',
      '2026-02-29',
      '2026-13-01',
      '2026-01-32T00:00:00Z',
      '2026-01-02T00:00:00',
      '2026-01-02T00Z',
      '2026-01-02T25:00:00Z',
      '2026-01-02T00:00:60Z',
      '2026-01-02T00:00:00,5Z',
      '2026-01-02T00:00:00+99:00',
      '2026-01-02 00:00:00Z',
      '+002026-01-02T00:00:00Z',
      '-2026-01-02T00:00:00Z',
      '2026-01-02T00:00:00Z ',
    ]) {
      const field = async (query: Record<string, string>): Promise<string> =>
        (await usage(query).expect(400)).body.errors[0].field;
      expect([await field({ from: moment, to }), await field({ to: moment })], moment).toEqual(['from', 'to']);
    }
    for (const from of ['1969-12-31T23:59:59Z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z', to])
      expect((await usage({ from, to }).expect(400)).body.errors[0].field, from).toBe('from');
    await caller.get('/quotas/pages/usage?granularity=day&from=2026-01-01&from=2026-01-02').expect(400);
    for (const page of ['limit', 'cursor'])
      expect((await usage({ [page]: '5' }).expect(400)).body.errors[0].field).toBe(page);
  });
});
