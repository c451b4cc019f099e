// The two sides as processes of their own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { SECRET } from '../support.mjs';

/** The settings of each side; `through` may change the address of Redis. */
export function settings(redis, through = (url) => url) {
  const ours = { LOG_LEVEL: 'error', AUTH_JWT_SECRET: SECRET, QUEUE_MAX_JOBS: '1000000' };
  return {
    ours: { ...ours, REDIS_URL: through(redis.appUrl) },
    peer: { REDIS_URL: through(redis.adminUrl) },
  };
}

/** Ours and BullMQ, that add jobs and work on those of one project. */
export async function bothSides(redis, through) {
  const { ours, peer } = settings(redis, through);
  return { ours: await side('bench/queue/ours.mjs', ours), peer: await side('bench/queue/peer.mjs', peer) };
}

/** A process that serves phases. */
export async function side(path, env) {
  const child = fork(path, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return {
    /** @returns what the phase answers: milliseconds, or figures of its own. */
    async run(phase, options) {
      child.send({ phase, options });
      const [{ answer, error }] = await once(child, 'message');
      if (error) throw new Error(error);
      return answer;
    },
    async stop() {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** @returns the address of the server behind a link of `delayMs` each way, and the end of it. */
export async function slowLink(redis, delayMs) {
  const child = fork('bench/queue/slow-link.mjs', [String(redis.port), String(delayMs)]);
  const [port] = await once(child, 'message');
  return { through: (url) => url.replace(`:${redis.port}`, `:${port}`), stop: () => child.disconnect() };
}
