import { readFileSync } from 'node:fs';
import { assert, asyncProperty, integer } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { WINDOWS } from './policy.js';

const SOURCE = `${readFileSync(new URL('./lua/include/windows.lua', import.meta.url), 'utf8')}
local out = {}
for i = 1, #ARGV do
  local starts = window_starts(tonumber(ARGV[i]))
  for kind = 1, 4 do
    out[#out + 1] = starts[kind]
    out[#out + 1] = window_end(kind, starts[kind])
  end
end
return out`;

/** The windows in which a second lies, as JavaScript's calendar has them. */
function expected(seconds: number): number[] {
  const date = new Date(seconds * 1000);
  const [year, month, day, hour, minute] = [
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
  ];
  return [
    Date.UTC(year, month, day, hour, minute),
    Date.UTC(year, month, day, hour, minute + 1),
    Date.UTC(year, month, day, hour),
    Date.UTC(year, month, day, hour + 1),
    Date.UTC(year, month, day),
    Date.UTC(year, month, day + 1),
    Date.UTC(year, month),
    Date.UTC(year, month + 1),
  ].map((ms) => ms / 1000);
}

describe('calendar windows', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  // 2000 was a leap year and 2100 is none: every rule of the calendar is in it.
  it('are those of the UTC calendar on every day from 1970 to 2110, at its first second or its last', async () => {
    const end = Date.UTC(2110, 0) / 1000;
    const moments: number[] = [];
    for (let day = 0, last = 0; day < end; day += 86_400, last = 1 - last) moments.push(day + last * 86_399);
    // In small parts: a long script would hold up the other tests on this server.
    for (let i = 0; i < moments.length; i += 250) {
      const part = moments.slice(i, i + 250);
      expect(await app.state.eval(SOURCE, 0, ...part)).toEqual(part.flatMap(expected));
    }
  });

  it('are the same in the scripts and in the process that reads their series', async () => {
    const year2000 = 946_684_800;
    await assert(
      asyncProperty(integer({ min: year2000, max: year2000 + 3_000_000_000 }), async (seconds) => {
        const [minute, , hour, , day, , month] = (await app.state.eval(SOURCE, 0, seconds)) as number[];
        const ms = seconds * 1000;
        const starts = Object.values(WINDOWS).map((window) => window.starts(ms, ms + 1)[0]! / 1000);
        expect(starts).toEqual([minute, hour, day, month]);
      }),
      { numRuns: 200 },
    );
  });
});
