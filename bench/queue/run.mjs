// Jobs through queues: ours against BullMQ, in turn, in one run, on one Redis. ONLY=direct|link|projects runs one part.
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { median, print } from '../support.mjs';
import { bothSides, slowLink } from './contenders.mjs';
import compareProjects from './projects.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const JOBS = Number(process.env.JOBS ?? 8000);
const SHAPES = [200, 10_000].flatMap((bytes) =>
  [
    [1, 1],
    [8, 1],
    [64, 1],
    [8, 10],
  ].map(([inFlight, batch]) => ({ bytes, inFlight, batch })),
);

/** CPU seconds of the Redis server so far. */
async function redisCpu(admin) {
  const info = await admin.info('cpu');
  return ['user', 'sys'].reduce((sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)[1]), 0);
}

async function measure(admin, side, shape, count) {
  const options = { project: randomUUID(), ...shape, count };
  const cpu = [await redisCpu(admin)];
  const enqueue = await side.run('enqueue', options);
  cpu.push(await redisCpu(admin));
  const work = await side.run(shape.batch === 1 ? 'work' : 'workInBatches', options);
  cpu.push(await redisCpu(admin));
  await admin.flushall();
  const micros = (i) => ((cpu[i + 1] - cpu[i]) / count) * 1e6;
  return {
    enqueue: (count / enqueue) * 1000,
    cycle: (count / (enqueue + work)) * 1000,
    enqueueMicros: micros(0),
    workMicros: micros(1),
  };
}

async function compare(link, admin, { ours, peer }, jobsOf) {
  for (const shape of SHAPES) {
    const count = jobsOf(shape);
    const rounds = [];
    // The first round warms both up.
    for (let i = 0; i <= ROUNDS; i += 1) {
      const round = {
        ours: await measure(admin, ours, shape, count),
        peer: await measure(admin, peer, shape, count),
      };
      if (i > 0) rounds.push(round);
    }
    const of = (side, figure) => median(rounds.map((round) => round[side][figure]));
    const ratio = (figure) => median(rounds.map((round) => round.ours[figure] / round.peer[figure])).toFixed(2);
    const line = (side) =>
      `${of(side, 'enqueue').toFixed(0)} | ${of(side, 'cycle').toFixed(0)} | ${of(side, 'enqueueMicros').toFixed(0)} | ${of(side, 'workMicros').toFixed(0)}`;
    const { bytes, inFlight, batch } = shape;
    print(`Queue${link}, ${bytes} B, ${inFlight} in flight, batches of ${batch}; ${ROUNDS} rounds (medians)`, [
      ['ours: enqueue/s | full cycles/s | Redis µs per enqueue | per lease + ack', line('ours')],
      ['peer: enqueue/s | full cycles/s | Redis µs per enqueue | per lease + ack', line('peer')],
      ['enqueue, ours / peer', `${ratio('enqueue')} ×`],
      ['full cycle, ours / peer', `${ratio('cycle')} ×`],
    ]);
  }
}

const PARTS = {
  async direct(redis, admin) {
    const sides = await bothSides(redis);
    await compare('', admin, sides, ({ bytes }) => (bytes > 1000 ? JOBS / 4 : JOBS)).finally(() => stop(sides));
  },
  async link(redis, admin) {
    const link = await slowLink(redis, 0.5);
    const sides = await bothSides(redis, link.through);
    // As many as take about a second where each waits for the one before.
    const jobsOf = ({ inFlight, batch }) => Math.min(JOBS / 4, 250 * inFlight * batch);
    await compare(', 1 ms round trip', admin, sides, jobsOf).finally(() => stop(sides).then(() => link.stop()));
  },
  projects: compareProjects,
};

async function stop({ ours, peer }) {
  await Promise.all([ours.stop(), peer.stop()]);
}

export default async function run({ redis }) {
  const admin = new Redis(redis.adminUrl);
  try {
    for (const [name, part] of Object.entries(PARTS))
      if (!process.env.ONLY || process.env.ONLY === name) await part(redis, admin);
  } finally {
    admin.disconnect();
  }
}
