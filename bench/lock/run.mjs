// A lock that nobody else wants, one at a time and many at once, and twenty that wait for one: ours against redis-semaphore and redlock, in turn, in one run.
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { Mutex } from 'redis-semaphore';
import redlockModule from 'redlock';
import { startApplication } from '../application.mjs';
import { drive, median, print } from '../support.mjs';

const Redlock = redlockModule.default ?? redlockModule;
// Short rounds, many of them: what else the machine does meets all alike.
const ROUNDS = Number(process.env.ROUNDS ?? 60);
const COUNT = Number(process.env.COUNT ?? 400);
const CROWDS = Number(process.env.CROWDS ?? 7);
/** Callers at once, each with a lock of its own. */
const AT_ONCE = [1, 8, 64];
const TTL_MS = 10_000;
const [WAITERS, TURNS, HOLD_MS] = [20, 3, 5];

const hold = () => new Promise((resolve) => setTimeout(resolve, HOLD_MS));

async function ours(url) {
  const { LockService } = await import('../../dist/lock/lock.service.js');
  const { parseProjectId } = await import('../../dist/common/project-id.js');
  const app = await startApplication(url.app);
  const locks = app.get(LockService);
  const projectId = parseProjectId(randomUUID());
  return {
    lock: async (name) => {
      const { token } = await locks.acquire(projectId, name, { ttlMs: TTL_MS, waitMs: 30_000 });
      return () => locks.release(projectId, name, token);
    },
    stop: () => app.stop(),
  };
}

async function semaphore(url) {
  const client = new Redis(url.admin);
  return {
    lock: async (name) => {
      const mutex = new Mutex(client, name, { lockTimeout: TTL_MS, acquireTimeout: 30_000, refreshInterval: 0 });
      await mutex.acquire();
      return () => mutex.release();
    },
    stop: () => client.quit(),
  };
}

async function redlock(url) {
  const client = new Redis(url.admin);
  const locks = new Redlock([client], { retryCount: -1 });
  return {
    lock: async (name) => {
      const lock = await locks.acquire([name], TTL_MS);
      return () => lock.release();
    },
    stop: () => client.quit(),
  };
}

const LOCKS = { ours, 'redis-semaphore': semaphore, redlock };

export default async function run({ redis }) {
  const url = { app: redis.appUrl, admin: redis.adminUrl };
  const names = Object.keys(LOCKS);
  const locks = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await LOCKS[name](url)])));
  const once = (name) => async (i) => (await locks[name].lock(`alone-${i % 200}`))();
  for (const name of names) await drive(once(name), { count: 10 * COUNT, parallel: 1 });

  const alone = {};
  for (const parallel of AT_ONCE) {
    const count = COUNT * Math.min(parallel, 4);
    alone[parallel] = await inTurn(names, ROUNDS, (name) => drive(once(name), { count, parallel }));
  }
  const crowd = await inTurn(names, CROWDS, (name) => waiting(locks[name], url.admin));
  for (const name of names) await locks[name].stop();

  const of = (rounds, name, pick) => median(rounds.map((round) => pick(round[name])));
  const ratio = (rounds, name) =>
    median(rounds.map(({ ours: our, [name]: peer }) => our.perSecond / peer.perSecond)).toFixed(2);
  for (const parallel of AT_ONCE) {
    print(
      `Take and free a lock that nobody wants, ${parallel} at once, ${ROUNDS} rounds (medians): locks a second, ours / this`,
      names.map((name) => [
        name,
        `${of(alone[parallel], name, ({ perSecond }) => perSecond).toFixed(0)}/s, ${ratio(alone[parallel], name)} ×`,
      ]),
    );
  }
  print(
    `${WAITERS} waiters × ${TURNS} × ${HOLD_MS} ms (at best ${WAITERS * TURNS * HOLD_MS} ms): total, inversions of ` +
      `${(WAITERS * (WAITERS - 1)) / 2}, commands for each lock and release`,
    names.map((name) => [
      name,
      `${of(crowd, name, ({ total }) => total).toFixed(0)} ms, ${of(crowd, name, ({ inversions }) => inversions)}, ` +
        of(crowd, name, ({ commands }) => commands).toFixed(1),
    ]),
  );
}

/** Each round has all of them, and each of them is first in its turn. */
async function inTurn(names, count, measure) {
  const rounds = [];
  for (let i = 0; i < count; i += 1) {
    const round = {};
    for (const name of [...names.slice(i % names.length), ...names.slice(0, i % names.length)]) {
      round[name] = await measure(name);
    }
    rounds.push(round);
  }
  return rounds;
}

async function waiting({ lock }, adminUrl) {
  // Only here: it slows the server down.
  const client = new Redis(adminUrl);
  const monitor = await client.monitor();
  const name = `busy-${randomUUID()}`;
  const order = [];
  let commands = 0;
  const count = (_time, _args, source) => (commands += source === 'lua' ? 0 : 1);
  monitor.on('monitor', count);
  const start = performance.now();
  await Promise.all(
    Array.from({ length: WAITERS }, async (_, i) => {
      for (let turn = 0; turn < TURNS; turn += 1) {
        const free = await lock(name);
        if (turn === 0) order.push(i);
        await hold();
        await free();
      }
    }),
  );
  const total = performance.now() - start;
  const inversions = order.flatMap((a, i) => order.slice(i + 1).filter((b) => b < a)).length;
  monitor.disconnect();
  client.disconnect();
  return { total, inversions, commands: commands / (WAITERS * TURNS) };
}
