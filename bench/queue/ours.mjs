// Ours: the services that a module of a team calls, without HTTP.
import 'reflect-metadata';
import { NestFactory } from '../../node_modules/@nestjs/core/index.js';
import { AppModule } from '../../dist/app.module.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { parseProjectId } from '../../dist/common/project-id.js';
import { LeaseService } from '../../dist/queue/lease.service.js';
import { QueueService } from '../../dist/queue/queue.service.js';
import { serve, taskOf, timed } from './contender.mjs';

const app = await NestFactory.createApplicationContext(AppModule.with(loadConfig(process.env)), { logger: ['error'] });
const queues = app.get(QueueService);
const leasing = app.get(LeaseService);
const QUEUE = 'embeddings';

async function enqueue({ project, bytes, count, inFlight, batch }) {
  const task = taskOf(bytes);
  const jobs = Array.from({ length: batch }, () => ({ task }));
  return timed(count / batch, inFlight, () => queues.enqueue(parseProjectId(project), QUEUE, jobs));
}

/** Adds a batch to each project. */
async function fill({ projects, bytes, batch }) {
  const jobs = Array.from({ length: batch }, () => ({ task: taskOf(bytes) }));
  const rest = [...projects];
  return timed(projects.length, 8, () => queues.enqueue(parseProjectId(rest.pop()), QUEUE, jobs));
}

/** One by one: each ack leases the next job. */
async function work({ project, inFlight }) {
  const projectId = parseProjectId(project);
  const start = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      let [job] = (await leasing.lease(projectId, QUEUE)).jobs;
      while (job) [job] = (await leasing.ackAndLease(projectId, QUEUE, job)).jobs;
    }),
  );
  return performance.now() - start;
}

/** In batches: the acks of each lease the next. */
async function workInBatches({ project, inFlight, batch }) {
  const projectId = parseProjectId(project);
  const start = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      let { jobs } = await leasing.lease(projectId, QUEUE, { max: batch });
      while (jobs.length > 0)
        ({ jobs } = (await leasing.ackBatchAndLease(projectId, QUEUE, jobs, { max: batch })).lease);
    }),
  );
  return performance.now() - start;
}

serve({ enqueue, fill, work, workInBatches }, () => app.close());
