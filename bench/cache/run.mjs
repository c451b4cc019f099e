// Reads through the cache, and a stampede on a cold key: ours against bentocache and cache-manager, in turn, in one run.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { drive, median, percentiles, print } from '../support.mjs';
import { article, STORES } from './stores.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const READS = Number(process.env.READS ?? 10_000);
// So many that the sharing of reads in flight, which some do, hardly ever happens.
const KEYS = 5000;
const LOAD_MS = 50;

export default async function run({ redis }) {
  const url = { app: redis.appUrl, admin: redis.adminUrl };
  await hits(url);
  await stampede(url);
}

async function hits(url) {
  const projectId = randomUUID();
  const names = Object.keys(STORES);
  const stores = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await STORES[name](url)])));
  const read = (name) => (i) => stores[name].get(projectId, `a${i % KEYS}`, () => article(`a${i % KEYS}`));
  for (const name of names) await drive(read(name), { count: READS, parallel: 8 });

  const rounds = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const round = {};
    // Another order each round: who comes after whom shall not matter.
    for (const name of [...names.slice(i % names.length), ...names.slice(0, i % names.length)]) {
      round[name] = {
        one: await drive(read(name), { count: READS / 4, parallel: 1 }),
        many: await drive(read(name), { count: READS, parallel: 64 }),
      };
    }
    rounds.push(round);
  }
  for (const name of names) await stores[name].stop();

  const of = (name, how, figure) => median(rounds.map((round) => round[name][how][figure]));
  // With a memory of the process against ours with one, without against ours without.
  const our = (name) => (name.includes('L1') ? 'ours, L1 and L2' : 'ours');
  const ratio = (name, how) =>
    median(rounds.map((round) => round[our(name)][how].perSecond / round[name][how].perSecond));
  print(
    `Hit, 1 KiB, validated, ${ROUNDS} rounds (medians): µs for one at a time, reads/s with 64 in flight, ours / this`,
    names.map((name) => [
      name,
      `${(of(name, 'one', 'p50') * 1000).toFixed(1)} µs, ${of(name, 'many', 'perSecond').toFixed(0)}/s, ` +
        `${ratio(name, 'one').toFixed(2)} × and ${ratio(name, 'many').toFixed(2)} ×`,
    ]),
  );
}

async function stampede(url) {
  const rows = [];
  for (const name of Object.keys(STORES)) {
    const children = await Promise.all([1, 2].map(() => start(name, url)));
    const loads = [];
    const times = [];
    for (let i = 0; i < ROUNDS * 3; i += 1) {
      const job = { projectId: randomUUID(), id: `cold${i}`, callers: 50, loadMs: LOAD_MS };
      const answers = children.map((child) => once(child, 'message'));
      for (const child of children) child.send(job);
      const results = (await Promise.all(answers)).map(([result]) => result);
      loads.push(results.reduce((sum, result) => sum + result.loads, 0));
      times.push(...results.flatMap((result) => result.times));
    }
    for (const child of children) child.kill('SIGTERM');
    const { p50, p99 } = percentiles(times);
    rows.push([name, `${median(loads)} (at most ${Math.max(...loads)}), ${p50.toFixed(0)} and ${p99.toFixed(0)} ms`]);
  }
  print(`Cold key, 2 processes × 50 callers, a load of ${LOAD_MS} ms: loads, p50 and p99 of a caller`, rows);
}

async function start(name, url) {
  const child = fork(join(import.meta.dirname, 'stampede.mjs'), {
    env: { PATH: process.env.PATH, STORE: name, APP_URL: url.app, ADMIN_URL: url.admin },
  });
  await once(child, 'message');
  return child;
}
