// What every benchmark needs: servers as child processes with their CPU time, a load, and the median of ratios.
import { fork } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import autocannon from 'autocannon';
import { SECRET } from './secret.mjs';

export { SECRET };

/** An HS256 token that owns one project. */
export function token(projectId) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'bench', exp: Math.floor(Date.now() / 1000) + 86_400, projects: { [projectId]: 'owner' } })}`;
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`;
}

/** Starts a server that says `ready` over IPC and answers any message with its CPU usage. */
export async function startServer(path, env, execArgv = []) {
  const child = fork(path, {
    execArgv,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [message] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => [`exit ${code}`]),
  ]);
  if (message !== 'ready') throw new Error(`${path}: ${message}`);
  const cpu = async () => {
    child.send('cpu');
    const [{ user, system }] = await once(child, 'message');
    return (user + system) / 1e6;
  };
  const stop = async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  return { pid: child.pid, cpu, stop };
}

/** Loads one URL. @returns requests per second of wall time and per second of the server's CPU, and percentiles in ms. */
export async function load(server, options) {
  const before = await server.cpu();
  const result = await autocannon({ connections: 50, duration: 5, ...options });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${options.url}: ${result.non2xx} not 2xx, ${result.errors} errors`);
  const cpu = (await server.cpu()) - before;
  const total = result.requests.total;
  return {
    perSecond: total / result.duration,
    perCpuSecond: total / cpu,
    microsPerRequest: (cpu / total) * 1e6,
    p50: result.latency.p50,
    p99: result.latency.p99,
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Runs `step` `count` times, `parallel` at once. @returns calls per second, and percentiles of one call in ms. */
export async function drive(step, { count, parallel }) {
  const times = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < count; i = next++) {
      const start = performance.now();
      await step(i);
      times.push(performance.now() - start);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: parallel }, worker));
  const seconds = (performance.now() - start) / 1000;
  return { perSecond: count / seconds, ...percentiles(times) };
}

export function percentiles(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };
}

/** A table on the terminal. */
export function print(title, rows) {
  process.stdout.write(`\n${title}\n`);
  for (const [name, value] of rows) process.stdout.write(`  ${name.padEnd(58)} ${value}\n`);
}
