// Event streams: ours, Nest's `@Sse` on pub/sub, and nginx with nchan, on the same Redis, in turn, in one run.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { freePort } from '../../scripts/lib/ports.mjs';
import { median, print, SECRET, startServer, token } from '../support.mjs';
import { hasNchan, startNchan } from './nchan.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const STREAMS = (process.env.STREAMS ?? '500,1000').split(',').map(Number);
const SECONDS = Number(process.env.SECONDS ?? 5);
/** Events per second of each steady part, and events of the burst. */
const RATES = (process.env.RATE ?? '20,100').split(',').map(Number);
const BURST = Number(process.env.BURST ?? 500);
const READERS = 2;
/** Events before anything is counted: each contender publishes as it does when it has run for a while. */
const WARM = 5000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
/** About 200 bytes on the wire. */
const event = () => JSON.stringify({ type: 'step', data: { sent_us: nowUs(), x: 'x'.repeat(90) } });
const residentMiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

const CONTENDERS = {
  ours: {
    start: async (redis, port) => {
      const limits = JSON.stringify({ api: { limit: 1_000_000_000, window_seconds: 60 } });
      const env = { PORT: port, REDIS_URL: redis.appUrl, AUTH_JWT_SECRET: SECRET, RATE_LIMITS: limits };
      return startServer('bench/progress/ours.mjs', { ...env, NODE_ENV: 'production', LOG_LEVEL: 'warn' });
    },
    paths: (projectId) => ({ read: `/v1/projects/${projectId}/progress`, write: `/v1/projects/${projectId}/progress` }),
  },
  '@Sse': {
    start: async (redis, port) => {
      const env = { PORT: port, REDIS_URL: redis.adminUrl, AUTH_JWT_SECRET: SECRET, NODE_ENV: 'production' };
      return startServer('bench/.build/progress/peer.js', env);
    },
    paths: (projectId) => ({ read: `/v1/projects/${projectId}/progress`, write: `/v1/projects/${projectId}/progress` }),
  },
  nchan: {
    start: async (redis, port) => startNchan({ port, redisUrl: redis.adminUrl.replace('default:', ':') }),
    paths: (projectId) => ({ read: `/sub/${projectId}`, write: `/pub/${projectId}` }),
  },
};

export default async function run({ redis }) {
  const names = Object.keys(CONTENDERS).filter((name) => name !== 'nchan' || hasNchan);
  if (!hasNchan) process.stdout.write('nchan is left out: apt-get install nginx libnginx-mod-nchan\n');
  for (const streams of STREAMS) {
    const rounds = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      const round = {};
      for (const name of names) {
        const idleKiB = await idle(CONTENDERS[name], redis, streams);
        round[name] = { ...(await measure(CONTENDERS[name], redis, streams)), idleKiB };
      }
      rounds.push(round);
    }
    report(names, rounds, streams);
  }
}

function report(names, rounds, streams) {
  const of = (name, figure) => median(rounds.map((round) => figure(round[name])));
  const ratio = (peer, figure) =>
    median(rounds.map((round) => figure(round[peer]) / figure(round.ours))).toFixed(2) + ' ×';
  const loads = [...RATES.map((rate) => `${rate} events/s for ${SECONDS} s`), `${BURST} at once`];
  print(
    `${streams} streams, events of 200 B; ${ROUNDS} rounds (medians)`,
    loads.flatMap((title, i) => [
      [title, 'deliveries/s, CPU µs each, p50 ms, p99 ms'],
      ...names.map((name) => [
        `  ${name}`,
        ['perSecond', 'micros', 'p50', 'p99']
          .map((figure) => of(name, ({ loads: l }) => l[i][figure]).toFixed(1))
          .join(', '),
      ]),
      ...names
        .slice(1)
        .flatMap((peer) => [
          [`  deliveries per CPU second, ours / ${peer}`, ratio(peer, ({ loads: l }) => l[i].micros)],
          ...(i < RATES.length
            ? []
            : [[`  deliveries per second, ${peer} / ours`, ratio(peer, ({ loads: l }) => l[i].perSecond)]]),
        ]),
    ]),
  );
  print(
    'idle KiB a stream; events lost',
    names.map((name) => [
      `  ${name}`,
      `${of(name, ({ idleKiB }) => idleKiB).toFixed(1)}; ${of(name, ({ lost }) => lost)}`,
    ]),
  );
}

function openStreams(url, streams, bearer) {
  return Promise.all(
    Array.from({ length: READERS }, async () => {
      const options = { serialization: 'advanced' };
      const child = fork('bench/progress/readers.mjs', [url, String(streams / READERS), bearer], options);
      await once(child, 'message');
      return child;
    }),
  );
}

/** @returns KiB of an idle stream in a process that has as many already: a start and a load leave room that would hide it. */
async function idle({ start, paths }, redis, streams) {
  const port = await freePort();
  const projectId = randomUUID();
  const server = await start(redis, port);
  const open = async () => {
    const opened = await openStreams(`http://127.0.0.1:${port}${paths(projectId).read}`, streams, token(projectId));
    await pause(1000);
    return opened;
  };
  const readers = await open();
  const before = residentMiB(server.pid);
  readers.push(...(await open()));
  const kibibytes = ((residentMiB(server.pid) - before) * 1024) / streams;
  for (const child of readers) child.kill();
  await server.stop();
  return kibibytes;
}

async function measure({ start, paths }, redis, streams) {
  const port = await freePort();
  const projectId = randomUUID();
  const server = await start(redis, port);
  const bearer = token(projectId);
  const { read, write } = paths(projectId);
  const base = `http://127.0.0.1:${port}`;
  // An idle connection is given up here before the server does it (after 5 s): or a request may meet its end.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8, timeout: 3000 });
  const publish = () =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
      const request = http.request(base + write, { method: 'POST', agent, headers }, (response) => {
        response.resume();
        response.on('end', () =>
          response.statusCode < 300 ? resolve() : reject(new Error(`POST ${response.statusCode}`)),
        );
      });
      request.on('error', reject);
      request.end(event());
    });
  for (let i = 0; i < WARM; i += 8) await Promise.all(Array.from({ length: 8 }, publish));
  const readers = await openStreams(base + read, streams, bearer);
  const ask = async (what) =>
    Promise.all(
      readers.map(async (child) => {
        child.send(what);
        return (await once(child, 'message'))[0];
      }),
    );
  const deliveries = async () => (await ask('count')).reduce((sum, { deliveries: n }) => sum + n, 0);
  const all = async (expected) => {
    for (let last = -1, same = 0; same < 20;) {
      const got = await deliveries();
      if (got >= expected) return got;
      same = got === last ? same + 1 : 0;
      last = got;
      await pause(50);
    }
    return deliveries();
  };
  /** Counts what `send` publishes from its first event until the last one has come. */
  const count = async (events, send) => {
    readers.forEach((child) => child.send('reset'));
    const cpu = await server.cpu();
    const begin = performance.now();
    await send(begin);
    const delivered = await all(events * streams);
    const seconds = (performance.now() - begin) / 1000;
    const micros = (((await server.cpu()) - cpu) / delivered) * 1e6;
    const delays = (await ask('delays')).flatMap(({ delays: part }) => [...part]).sort((a, b) => a - b);
    const at = (share) => delays[Math.floor(delays.length * share)] / 1000;
    return { perSecond: delivered / seconds, micros, p50: at(0.5), p99: at(0.99), lost: events * streams - delivered };
  };
  for (let i = 0; i < 20; i += 1) await publish();
  await all(20 * streams);
  const loads = [];
  for (const rate of RATES) {
    const steady = async (begin) => {
      for (let i = 0; i < rate * SECONDS; i += 1) {
        await pause(Math.max(0, begin + (i * 1000) / rate - performance.now()));
        void publish();
      }
    };
    loads.push(await count(rate * SECONDS, steady));
  }
  loads.push(await count(BURST, () => Promise.all(Array.from({ length: BURST }, publish))));
  for (const child of readers) child.kill();
  agent.destroy();
  await server.stop();
  return { loads, lost: loads.reduce((sum, { lost }) => sum + lost, 0) };
}
