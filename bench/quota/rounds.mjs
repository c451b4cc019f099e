import { median, print } from '../support.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 9);
const CALLS = Number(process.env.CALLS ?? 10_000);
const IN_FLIGHT = 64;

/** Runs pairs of calls in turn, round after round, and prints the median of the ratios. */
export async function compare(title, pairs) {
  const rounds = Object.fromEntries(Object.keys(pairs).map((name) => [name, []]));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [name, [ours, peer]] of Object.entries(pairs)) {
      // Who goes first takes turns, too.
      const measure = async (call) => ({ call, ...(await load(call)) });
      const results =
        round % 2 ? [await measure(ours), await measure(peer)] : [await measure(peer), await measure(ours)];
      // The first round only warms up.
      if (round >= 0)
        rounds[name].push([results.find(({ call }) => call === ours), results.find(({ call }) => call === peer)]);
    }
  }
  print(
    `${title}: ${ROUNDS} rounds of ${CALLS} calls (medians; calls/s, p50 and p99 ms, CPU µs of this process per call)`,
    Object.entries(rounds).map(([name, results]) => {
      const ratio = median(results.map(([ours, peer]) => ours.perSecond / peer.perSecond));
      const cpu = median(results.map(([ours, peer]) => peer.cpu / ours.cpu));
      const side = (i) => {
        const of = (figure, digits) => median(results.map((pair) => pair[i][figure])).toFixed(digits);
        return `${of('perSecond', 0)}, ${of('p50', 2)}, ${of('p99', 2)}, ${of('cpu', 0)}`;
      };
      return [name, `${ratio.toFixed(2)} × (${cpu.toFixed(2)} × by CPU)   ${side(0)} | ${side(1)}`];
    }),
  );
}

async function load(call) {
  const times = [];
  let next = 0;
  const lane = async () => {
    while (next < CALLS) {
      const i = next++;
      const start = performance.now();
      await call(i);
      times.push(performance.now() - start);
    }
  };
  const start = performance.now();
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(times.length * share)];
  return { perSecond: CALLS / seconds, p50: at(0.5), p99: at(0.99), cpu: (user + system) / CALLS };
}
