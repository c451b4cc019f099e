// Ours: the services that a module of a team calls, without HTTP.
import 'reflect-metadata';
import { NestFactory } from '../../node_modules/@nestjs/core/index.js';
import { AppModule } from '../../dist/app.module.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { parseProjectId } from '../../dist/common/project-id.js';
import { QueueService } from '../../dist/queue/queue.service.js';
import { serve, taskOf, timed } from './contender.mjs';

const app = await NestFactory.createApplicationContext(AppModule.with(loadConfig(process.env)), { logger: ['error'] });
const queues = app.get(QueueService);
const QUEUE = 'embeddings';

async function enqueue({ project, bytes, count, inFlight, batch }) {
  const task = taskOf(bytes);
  const jobs = Array.from({ length: batch }, () => ({ task }));
  return timed(count / batch, inFlight, () => queues.enqueue(parseProjectId(project), QUEUE, jobs));
}

/** One by one: each ack leases the next job. */
async function work({ project, inFlight }) {
  const projectId = parseProjectId(project);
  const start = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      let [job] = (await queues.lease(projectId, QUEUE)).jobs;
      while (job) [job] = (await queues.ackAndLease(projectId, QUEUE, job)).jobs;
    }),
  );
  return performance.now() - start;
}

async function workInBatches({ project, inFlight, batch }) {
  const projectId = parseProjectId(project);
  const start = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (;;) {
        const { jobs } = await queues.lease(projectId, QUEUE, { max: batch });
        if (jobs.length === 0) return;
        await queues.ackBatch(projectId, QUEUE, jobs);
      }
    }),
  );
  return performance.now() - start;
}

serve({ enqueue, work, workInBatches }, () => app.close());
