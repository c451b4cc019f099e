// An authenticated, rate-limited, cached read through the whole HTTP stack: ours against the shelf, in turn, in one run.
import { randomUUID } from 'node:crypto';
import { load, median, print, SECRET, startServer, token } from '../support.mjs';
import { freePort } from '../../scripts/lib/ports.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 5);

export default async function run({ redis }) {
  const projectId = randomUUID();
  const headers = { authorization: `Bearer ${token(projectId)}`, 'content-type': 'application/json' };
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'warn', AUTH_JWT_SECRET: SECRET };
  const [ourPort, peerPort] = [await freePort(), await freePort()];
  const limits = JSON.stringify({ api: { limit: 1_000_000_000, window_seconds: 60 } });
  const ours = await startServer('bench/http/ours.mjs', {
    ...env,
    PORT: ourPort,
    REDIS_URL: redis.appUrl,
    RATE_LIMITS: limits,
  });
  const peer = await startServer('bench/.build/http/peer.js', { ...env, PORT: peerPort, REDIS_URL: redis.adminUrl });
  const base = (port) => `http://127.0.0.1:${port}/v1/projects/${projectId}`;
  const body = JSON.stringify({ title: 'A document', content: 'x'.repeat(1000), version: 1 });
  for (const port of [ourPort, peerPort]) {
    const answer = await fetch(`${base(port)}/documents/a`, { method: 'PUT', headers, body });
    if (!answer.ok) throw new Error(`PUT: ${answer.status} ${await answer.text()}`);
  }

  const measure = (server, port, path) => load(server, { url: base(port) + path, headers, duration: SECONDS });
  await measure(ours, ourPort, '/documents/a');
  await measure(peer, peerPort, '/documents/a');
  const rounds = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    rounds.push({
      ours: await measure(ours, ourPort, '/documents/a'),
      peer: await measure(peer, peerPort, '/documents/a'),
      parameter: await measure(ours, ourPort, '/bench-parameter'),
      scoped: await measure(ours, ourPort, '/bench-scoped'),
    });
  }
  await ours.stop();
  await peer.stop();

  const of = (name, figure) => median(rounds.map((round) => round[name][figure]));
  const ratio = (figure) => median(rounds.map((round) => round.ours[figure] / round.peer[figure]));
  print(`Cached read over HTTP, ${ROUNDS} rounds of ${SECONDS} s, 50 connections (medians)`, [
    ['ours: requests/s, CPU µs per request, p50 and p99 ms', row(of, 'ours')],
    ['peer: requests/s, CPU µs per request, p50 and p99 ms', row(of, 'peer')],
    ['throughput, ours / peer', `${ratio('perSecond').toFixed(2)} ×`],
    ['requests per CPU second, ours / peer', `${ratio('perCpuSecond').toFixed(2)} ×`],
  ]);
  const extra = of('scoped', 'microsPerRequest') - of('parameter', 'microsPerRequest');
  print('What the request-scoped provider costs', [
    ['trivial route with @Project(): CPU µs per request', of('parameter', 'microsPerRequest').toFixed(0)],
    ['the same with ProjectContext injected: CPU µs per request', of('scoped', 'microsPerRequest').toFixed(0)],
    ['difference', `${extra.toFixed(0)} µs, ${((extra / of('parameter', 'microsPerRequest')) * 100).toFixed(0)} %`],
  ]);
}

function row(of, name) {
  return ['perSecond', 'microsPerRequest', 'p50', 'p99'].map((figure) => of(name, figure).toFixed(0)).join(', ');
}
