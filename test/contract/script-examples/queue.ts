import { QueueKeys } from '../../../src/queue/queue.keys.js';
import {
  ackAndLease,
  ackJobs,
  cancelJob,
  countJobs,
  dropDead,
  enqueueJobs,
  enqueuePlain,
  extendLease,
  leaseHead,
  leaseJobs,
  listDead,
  nackJob,
  purgeQueue,
  readJob,
  redriveDead,
  releaseJobs,
} from '../../../src/queue/queue.scripts.js';
import { LeaseService } from '../../../src/queue/lease.service.js';
import { QueueService } from '../../../src/queue/queue.service.js';
import type { ProjectId } from '../../../src/common/project-id.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

const QUEUE = 'embeddings';
const channels = ['wake'];
// Only whether it exists counts.
const tolerates = ['hold'];
const task = { doc_id: 'd', chunks: ['a'] };

const places = (app: TestApp, projectId: ProjectId): Record<string, string> =>
  app.get(QueueKeys).places(projectId, QUEUE);

const leaseArgs = {
  token: 't',
  lease_ms: 9000,
  max_leased: 10,
  max_dead: 10,
};
const wholeArgs = (projectId: ProjectId) => ({
  ...leaseArgs,
  project_id: projectId,
  default_attempts: 3,
  order: 'relaxed',
});

async function leased(app: TestApp, projectId: ProjectId, dedupeKey?: string): Promise<{ id: string; token: string }> {
  const queues = app.get(QueueService);
  const leasing = app.get(LeaseService);
  // A second job waits, so that no script finds an empty queue; a third is delayed.
  await queues.enqueue(projectId, QUEUE, [
    { task, ...(dedupeKey ? { dedupeKey } : {}) },
    { task: { ...task, doc_id: 'e' } },
    { task, delaySeconds: 600 },
  ]);
  const [job] = (await leasing.lease(projectId, QUEUE)).jobs;
  return { id: job!.jobId, token: job!.leaseToken };
}

async function buried(app: TestApp, projectId: ProjectId): Promise<void> {
  const { id, token } = await leased(app, projectId);
  await app.get(LeaseService).nack(projectId, QUEUE, id, token, { error: 'no', dead: true });
}

export const examples: ScriptExample[] = [
  example(enqueueJobs, {
    channels,
    prepare: async (app, projectId) => {
      await leased(app, projectId);
      const { key, fingerprint } = app.get(QueueKeys).idempotency(projectId, 'key', {});
      return {
        keys: { ...places(app, projectId), idempotency: key },
        args: { fingerprint, max_jobs: 100, max_bytes: 10_000, jobs: ['id', '{}', 3, 0, 'dedupe', 'op'] },
      };
    },
  }),
  example(enqueuePlain, {
    channels,
    prepare: async (app, projectId) => {
      await leased(app, projectId);
      const jobs = [`${'0'.repeat(40)}id`, '{}', 3, 'op'];
      return { keys: places(app, projectId), args: { max_jobs: 100, max_bytes: 10_000, jobs } };
    },
  }),
  example(purgeQueue, {
    // A purge removes whatever stands there.
    tolerates: ['purged', 'rest'],
    prepare: async (app, projectId) => {
      await leased(app, projectId);
      const { purged, wake: _, ...rest } = app.get(QueueKeys).places(projectId, QUEUE);
      return { keys: { purged, rest: Object.values(rest) }, args: {} };
    },
  }),
  example(leaseJobs, {
    channels,
    tolerates,
    prepare: async (app, projectId) => {
      const { id, token } = await leased(app, projectId);
      return {
        keys: { ...places(app, projectId), request: app.get(QueueKeys).request(projectId, QUEUE, 'r') },
        args: { ...wholeArgs(projectId), request: '1', wanted: 2, id: 'x', acks: [id, token, ''] },
      };
    },
  }),
  example(leaseHead, {
    prepare: async (app, projectId) => {
      await leased(app, projectId);
      return { keys: places(app, projectId), args: { ...leaseArgs, wanted: 2 } };
    },
  }),
  example(ackJobs, {
    // It only names the records.
    tolerates: ['list'],
    prepare: async (app, projectId) => {
      const { id, token } = await leased(app, projectId, 'key');
      return { keys: places(app, projectId), args: { acks: [id, token, '{}'] } };
    },
  }),
  example(ackAndLease, {
    prepare: async (app, projectId) => {
      const { id, token } = await leased(app, projectId, 'key');
      return { keys: places(app, projectId), args: { ...leaseArgs, wanted: 2, most: 2, acks: [id, token, ''] } };
    },
  }),
  example(nackJob, {
    channels,
    tolerates,
    prepare: async (app, projectId) => {
      const { id, token } = await leased(app, projectId);
      const keys = places(app, projectId);
      return { keys, args: { id, token, error: 'no', retry_ms: '', jitter: 1, dead: '' } };
    },
  }),
  example(releaseJobs, {
    channels,
    prepare: async (app, projectId) => {
      const { id, token } = await leased(app, projectId);
      const request = app.get(QueueKeys).request(projectId, QUEUE, undefined);
      return { keys: { ...places(app, projectId), request }, args: { nonce: 0, jobs: [id, token] } };
    },
  }),
  example(extendLease, {
    channels,
    prepare: async (app, projectId) => {
      const { id, token } = await leased(app, projectId);
      return { keys: places(app, projectId), args: { id, token, lease_ms: 90_000 } };
    },
  }),
  example(cancelJob, {
    channels,
    tolerates,
    prepare: async (app, projectId) => {
      const { id } = await leased(app, projectId);
      const keys = places(app, projectId);
      return { keys, args: { id } };
    },
  }),
  example(readJob, {
    channels,
    prepare: async (app, projectId) => {
      const { id } = await leased(app, projectId);
      // Somebody popped the waiting job: reading finds it out, which is a write.
      await app.state.lpop(places(app, projectId)['list']!);
      return { keys: places(app, projectId), args: { id } };
    },
  }),
  example(countJobs, {
    channels,
    prepare: async (app, projectId) => {
      await leased(app, projectId);
      await app.state.lpop(places(app, projectId)['list']!);
      return { keys: places(app, projectId), args: {} };
    },
  }),
  example(listDead, {
    channels,
    prepare: async (app, projectId) => {
      await buried(app, projectId);
      return { keys: places(app, projectId), args: { after: '-inf', limit: 10 } };
    },
  }),
  ...[redriveDead, dropDead].map((script) =>
    example(script, {
      channels,
      prepare: async (app, projectId) => {
        await buried(app, projectId);
        return { keys: places(app, projectId), args: { limit: 10 } };
      },
    }),
  ),
];
