// BullMQ: a Worker for each queue. They share the connection that may be shared; each needs one more to wait on.
import { Redis } from 'ioredis';
import { Worker } from 'bullmq';
import { counter, serve } from './contender.mjs';

const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
connection.setMaxListeners(0);
const { done, drained } = counter();
let workers = [];

async function start({ projects }) {
  workers = projects.map((project) => new Worker(project, async () => done(), { connection }));
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
}

serve({ start, drained, memory: () => process.memoryUsage.rss() }, () =>
  Promise.all(workers.map((worker) => worker.close())),
);
