import { Redis } from '../../node_modules/ioredis/built/index.js';
import * as scripts from '../../dist/quota/quota.scripts.js';
import { median, print } from '../support.mjs';

const all = Object.values(scripts);
const ROUNDS = 15;
const CALLS = 5000;

/**
 * What the usage series costs: the time that Redis spends in the script of a charge, and in the same script with the cells
 * that limit nothing taken out. The script is what the product sends.
 *
 * @param charge a charge of a resource that has a limit per day and a bucket: minute, hour and month are only counted.
 */
export async function seriesCost(redis, charge) {
  const admin = new Redis(redis.adminUrl, { protocol: 2 });
  const { source, rest } = await scriptOf(admin, charge);
  // Later than any deadline.
  rest[Number(rest[0]) + 1] = '9e15';
  const variants = { with: await load(admin, source, false), without: await load(admin, source, true) };
  const shares = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const micros = {};
    for (const name of round % 2 ? ['with', 'without'] : ['without', 'with']) {
      await admin.config('RESETSTAT');
      for (let i = 0; i < CALLS; i += 100) {
        const pipeline = admin.pipeline();
        for (let j = 0; j < 100; j += 1) pipeline.call('evalsha', variants[name], ...rest);
        for (const [error] of await pipeline.exec()) if (error) throw error;
      }
      micros[name] = Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(await admin.info('commandstats'))[1]);
    }
    if (round >= 0) shares.push([micros.with / micros.without, micros.with, micros.without]);
  }
  admin.disconnect();
  const of = (i) => median(shares.map((share) => share[i]));
  print(`A charge with and without the series, ${ROUNDS} rounds of ${CALLS} calls (medians)`, [
    ['Redis µs per call, with and without', `${of(1).toFixed(1)}, ${of(2).toFixed(1)}`],
    ['the series adds', `${((of(0) - 1) * 100).toFixed(1)} %`],
  ]);
}

/** What the product sends for a charge: the script's text, and its number of keys, keys and arguments. */
async function scriptOf(admin, charge) {
  await charge();
  const monitor = await admin.monitor();
  const sent = new Promise((resolve) => {
    monitor.on('monitor', (_time, [command, sha, ...rest], from) => {
      const script = command.toLowerCase() === 'evalsha' && from !== 'lua' && all.find((one) => one.sha === sha);
      if (script) resolve({ source: script.source, rest });
    });
  });
  await charge();
  const found = await sent;
  monitor.disconnect();
  return found;
}

// In both variants the same wrapper looks at each key, so that it costs both the same; only one acts on what it finds.
function load(admin, source, skips) {
  const wrapper = `
local redis = (function(real)
  local find = string.find
  local function is_series(key) return find(key, ':minute:', 1, true) or find(key, ':hour:', 1, true) or find(key, ':month:', 1, true) end
  local function call(command, ...)
    if command == 'MGET' then
      local keys, kept = { ... }, {}
      for i, key in ipairs(keys) do
        if not is_series(key) or not ${skips} then kept[#kept + 1] = key end
      end
      local found, values, n = real.call('MGET', unpack(kept)), {}, 0
      for i, key in ipairs(keys) do
        if is_series(key) and ${skips} then values[i] = '1' else n = n + 1 values[i] = found[n] end
      end
      return values
    end
    local key = ...
    if key and is_series(key) and ${skips} then return 0 end
    return real.call(command, ...)
  end
  return setmetatable({ call = call }, { __index = real })
end)(redis)
`;
  return admin.script(
    'LOAD',
    source.replace(/^(#!.*\n)?/, (shebang) => shebang + wrapper),
  );
}
