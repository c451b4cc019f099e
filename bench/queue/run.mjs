// Jobs through a queue of one project: ours against BullMQ, in turn, in one run, on one Redis.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { median, print, SECRET } from '../support.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const JOBS = Number(process.env.JOBS ?? 8000);

async function contender(path, env) {
  const child = fork(path, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return {
    async run(phase, options) {
      child.send({ phase, options });
      const [{ ms, error }] = await once(child, 'message');
      if (error) throw new Error(error);
      return ms;
    },
    async stop() {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** CPU seconds of the Redis server so far. */
async function redisCpu(admin) {
  const info = await admin.info('cpu');
  return ['user', 'sys'].reduce((sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)[1]), 0);
}

async function measure(admin, side, { bytes, inFlight, batch }) {
  const options = { project: randomUUID(), bytes, inFlight, batch, count: bytes > 1000 ? JOBS / 4 : JOBS };
  const cpu = [await redisCpu(admin)];
  const enqueue = await side.run('enqueue', options);
  cpu.push(await redisCpu(admin));
  const work = await side.run(batch === 1 ? 'work' : 'workInBatches', options);
  cpu.push(await redisCpu(admin));
  await admin.flushall();
  const micros = (i) => ((cpu[i + 1] - cpu[i]) / options.count) * 1e6;
  return {
    enqueue: (options.count / enqueue) * 1000,
    cycle: (options.count / (enqueue + work)) * 1000,
    enqueueMicros: micros(0),
    workMicros: micros(1),
  };
}

export default async function run({ redis }) {
  const admin = new Redis(redis.adminUrl);
  const ours = await contender('bench/queue/ours.mjs', {
    LOG_LEVEL: 'error',
    AUTH_JWT_SECRET: SECRET,
    REDIS_URL: redis.appUrl,
    QUEUE_MAX_JOBS: '1000000',
  });
  const peer = await contender('bench/queue/peer.mjs', { REDIS_URL: redis.adminUrl });
  try {
    for (const bytes of [200, 10_000]) {
      for (const [inFlight, batch] of [
        [1, 1],
        [8, 1],
        [64, 1],
        [8, 10],
      ]) {
        const shape = { bytes, inFlight, batch };
        const rounds = [];
        // The first round warms both up.
        for (let i = 0; i <= ROUNDS; i += 1) {
          const round = { ours: await measure(admin, ours, shape), peer: await measure(admin, peer, shape) };
          if (i > 0) rounds.push(round);
        }
        const of = (side, figure) => median(rounds.map((round) => round[side][figure]));
        const ratio = (figure) => median(rounds.map((round) => round.ours[figure] / round.peer[figure])).toFixed(2);
        const line = (side) =>
          `${of(side, 'enqueue').toFixed(0)} | ${of(side, 'cycle').toFixed(0)} | ${of(side, 'enqueueMicros').toFixed(0)} | ${of(side, 'workMicros').toFixed(0)}`;
        print(`Queue, ${bytes} B, ${inFlight} in flight, batches of ${batch}; ${ROUNDS} rounds (medians)`, [
          ['ours: enqueue/s | full cycles/s | Redis µs per enqueue | per lease + ack', line('ours')],
          ['peer: enqueue/s | full cycles/s | Redis µs per enqueue | per lease + ack', line('peer')],
          ['enqueue, ours / peer', `${ratio('enqueue')} ×`],
          ['full cycle, ours / peer', `${ratio('cycle')} ×`],
        ]);
      }
    }
  } finally {
    await Promise.all([ours.stop(), peer.stop()]);
    admin.disconnect();
  }
}
