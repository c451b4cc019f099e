// BullMQ as its documentation shows it: a Queue that adds, a Worker that processes; history bounded as ours is.
import { Redis } from 'ioredis';
import { Queue, Worker } from 'bullmq';
import { serve, taskOf, timed } from './contender.mjs';

const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
connection.setMaxListeners(0);
const HISTORY = { age: 3600, count: 10_000 };
const opened = new Map();

function queueOf(name) {
  let queue = opened.get(name);
  if (!queue) {
    queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: HISTORY, attempts: 10 } });
    opened.set(name, queue);
  }
  return queue;
}

async function enqueue({ project, bytes, count, inFlight, batch }) {
  const queue = queueOf(project);
  await queue.waitUntilReady();
  const data = { project_id: project, ...taskOf(bytes) };
  if (batch === 1) return timed(count, inFlight, () => queue.add('job', data));
  const jobs = Array.from({ length: batch }, () => ({ name: 'job', data }));
  return timed(count / batch, inFlight, () => queue.addBulk(jobs));
}

async function fill({ projects, bytes, batch }) {
  const rest = [...projects];
  return timed(projects.length, 8, () => {
    const project = rest.pop();
    const data = { project_id: project, ...taskOf(bytes) };
    return queueOf(project).addBulk(Array.from({ length: batch }, () => ({ name: 'job', data })));
  });
}

async function work({ project, inFlight, count }) {
  let done = 0;
  const worker = new Worker(project, async () => undefined, { connection, concurrency: inFlight, autorun: false });
  await worker.waitUntilReady();
  const start = performance.now();
  await new Promise((resolve) => {
    worker.on('completed', () => {
      done += 1;
      if (done === count) resolve();
    });
    void worker.run();
  });
  const ms = performance.now() - start;
  await worker.close();
  return ms;
}

// It takes jobs one by one; as many at a time as our batches hold.
const workInBatches = ({ project, inFlight, batch, count }) => work({ project, inFlight: inFlight * batch, count });

serve({ enqueue, fill, work, workInBatches }, async () => {
  await Promise.all([...opened.values()].map((queue) => queue.close()));
  connection.disconnect();
});
