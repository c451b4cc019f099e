// A thousand projects, their jobs worked on by one process: BullMQ has a Worker for each queue, ours one consumer for all.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { median, print } from '../support.mjs';
import { bothSides, settings, side } from './contenders.mjs';

const PROJECTS = Number(process.env.PROJECTS ?? 1000);
const JOBS_EACH = 20;
const ROUNDS = 3;

async function figures(admin, workers) {
  return {
    connections: (await admin.client('LIST')).trim().split('\n').length,
    redis: Number(/used_memory:(\d+)/.exec(await admin.info('memory'))[1]),
    process: workers ? await workers.run('memory') : 0,
  };
}

/** Starts a side's workers and gives them the jobs that `producer` adds, some rounds. */
async function measure(name, env, admin, producer) {
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
  const rates = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const count = PROJECTS * JOBS_EACH;
    const begin = performance.now();
    const drained = workers.run('drained', { count });
    await producer.run('fill', { projects, batch: JOBS_EACH, bytes: 200 });
    await drained;
    if (round > 0) rates.push((count / (performance.now() - begin)) * 1000);
  }
  const busy = await figures(admin, workers);
  await workers.stop();
  await admin.flushall();
  return {
    connections: idle.connections - before.connections,
    redisIdle: (idle.redis - before.redis) / 2 ** 20,
    processIdle: idle.process / 2 ** 20,
    processBusy: busy.process / 2 ** 20,
    startMs,
    rate: median(rates),
  };
}

export default async function compareProjects(redis, admin) {
  const producers = await bothSides(redis);
  const found = {};
  try {
    for (const name of ['ours', 'peer'])
      found[name] = await measure(name, settings(redis)[name], admin, producers[name]);
  } finally {
    await Promise.all([producers.ours.stop(), producers.peer.stop()]);
  }
  const line = (figure, digits = 0) => `${found.ours[figure].toFixed(digits)} | ${found.peer[figure].toFixed(digits)}`;
  print(`Queues of ${PROJECTS} projects, one process that works on all; ours | peer`, [
    ['connections to Redis of the process', line('connections')],
    ['memory of the process, idle, MiB', line('processIdle')],
    ['memory of the process after the jobs, MiB', line('processBusy')],
    ['memory of Redis for it, idle, MiB', line('redisIdle', 1)],
    ['start of its workers, ms', line('startMs')],
    [`jobs/s, ${JOBS_EACH} added to each project, until the last is done`, line('rate')],
    ['jobs/s, ours / peer', `${(found.ours.rate / found.peer.rate).toFixed(2)} ×`],
  ]);
}
