// A thousand projects, their jobs worked on by one process: BullMQ has a Worker for each queue, ours one consumer for all.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { median, print } from '../support.mjs';
import { bothSides, settings, side } from './contenders.mjs';

const PROJECTS = Number(process.env.PROJECTS ?? 1000);
const JOBS_EACH = 20;
const ROUNDS = Number(process.env.ROUNDS ?? 5);

async function figures(admin, workers) {
  return {
    connections: (await admin.client('LIST')).trim().split('\n').length,
    redis: Number(/used_memory:(\d+)/.exec(await admin.info('memory'))[1]),
    process: workers ? await workers.run('memory') : 0,
  };
}

/** Starts a side's workers; the keys of its queues are made first, so that only the workers' share is seen. */
async function begin(name, env, admin, producer) {
  const projects = Array.from({ length: PROJECTS }, randomUUID);
  await producer.run('fill', { projects, batch: 1, bytes: 200 });
  await admin.flushall();
  const before = await figures(admin);
  const workers = await side(`bench/queue/projects-${name}.mjs`, env);
  const start = performance.now();
  await workers.run('start', { projects });
  const startMs = performance.now() - start;
  // Past its start: connections are up, and what was only needed for that is gone.
  await pause(3000);
  const idle = await figures(admin, workers);
  const found = {
    connections: idle.connections - before.connections,
    redisIdle: (idle.redis - before.redis) / 2 ** 20,
    processIdle: idle.process / 2 ** 20,
    startMs,
  };
  return { projects, producer, workers, found, rates: [] };
}

/** @returns jobs per second, from the first that is added until the last is done. */
async function drain({ projects, producer, workers }) {
  const count = PROJECTS * JOBS_EACH;
  const start = performance.now();
  const drained = workers.run('drained', { count });
  await producer.run('fill', { projects, batch: JOBS_EACH, bytes: 200 });
  await drained;
  return (count / (performance.now() - start)) * 1000;
}

export default async function compareProjects(redis, admin) {
  const producers = await bothSides(redis);
  const env = settings(redis);
  const sides = [];
  for (const name of ['ours', 'peer']) sides.push(await begin(name, env[name], admin, producers[name]));
  // The first round warms both up.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const one of sides) {
      const rate = await drain(one);
      if (round > 0) one.rates.push(rate);
    }
  }
  for (const { workers, found, rates } of sides) {
    found.processBusy = (await workers.run('memory')) / 2 ** 20;
    found.rate = median(rates);
  }
  await Promise.all([...sides.map(({ workers }) => workers.stop()), producers.ours.stop(), producers.peer.stop()]);
  const [ours, peer] = sides;
  const ratio = median(ours.rates.map((rate, i) => rate / peer.rates[i]));
  const line = (figure, digits = 0) => `${ours.found[figure].toFixed(digits)} | ${peer.found[figure].toFixed(digits)}`;
  print(`Queues of ${PROJECTS} projects, one process that works on all; ours | peer`, [
    ['connections to Redis of the process', line('connections')],
    ['memory of the process, idle, MiB', line('processIdle')],
    ['memory of the process after the jobs, MiB', line('processBusy')],
    ['memory of Redis for it, idle, MiB', line('redisIdle', 1)],
    ['start of its workers, ms', line('startMs')],
    [`jobs/s, ${JOBS_EACH} added to each project, until the last is done`, line('rate')],
    ['jobs/s, ours / peer', `${ratio.toFixed(2)} ×`],
  ]);
}
