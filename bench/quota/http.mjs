import { randomUUID } from 'node:crypto';
import { freePort } from '../../scripts/lib/ports.mjs';
import { load, median, print, SECRET, startServer, token } from '../support.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 3);
const LIMIT = 1_000_000_000;

/** A trivial route under three limits, behind authentication. */
export async function overHttp(redis) {
  const projectId = randomUUID();
  const [ourPort, peerPort] = [await freePort(), await freePort()];
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'warn', AUTH_JWT_SECRET: SECRET };
  const limits = {
    api: { limit: LIMIT, window_seconds: 60 },
    search: { limit: LIMIT, window_seconds: 1, also: [{ limit: LIMIT, window_seconds: 3600 }] },
  };
  const ours = await startServer('bench/quota/ours.mjs', {
    ...env,
    PORT: ourPort,
    REDIS_URL: redis.appUrl,
    RATE_LIMITS: JSON.stringify(limits),
  });
  const peer = await startServer('bench/.build/quota/peer.js', { ...env, PORT: peerPort, REDIS_URL: redis.adminUrl });
  const headers = { authorization: `Bearer ${token(projectId)}` };
  const measure = (server, port, duration = SECONDS) =>
    load(server, { url: `http://127.0.0.1:${port}/v1/projects/${projectId}/limited`, headers, duration });
  await measure(ours, ourPort, 1);
  await measure(peer, peerPort, 1);
  const rounds = [];
  for (let i = 0; i < ROUNDS; i += 1)
    rounds.push({ ours: await measure(ours, ourPort), peer: await measure(peer, peerPort) });
  await ours.stop();
  await peer.stop();

  const of = (name, figure) => median(rounds.map((round) => round[name][figure])).toFixed(0);
  const row = (name) => ['perSecond', 'microsPerRequest', 'p50', 'p99'].map((figure) => of(name, figure)).join(', ');
  const ratio = (figure) => median(rounds.map((round) => round.ours[figure] / round.peer[figure])).toFixed(2);
  print(`Three limits on a route over HTTP, ${ROUNDS} rounds of ${SECONDS} s, 50 connections (medians)`, [
    ['ours: requests/s, CPU µs per request, p50 and p99 ms', row('ours')],
    ['@nestjs/throttler with Redis storage: the same', row('peer')],
    ['throughput, ours / peer', `${ratio('perSecond')} ×`],
    ['requests per CPU second, ours / peer', `${ratio('perCpuSecond')} ×`],
  ]);
}
