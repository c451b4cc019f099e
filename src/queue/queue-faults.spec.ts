import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { type Caller, TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

const JOBS = '/queues/embeddings/jobs';
const LEASES = '/queues/embeddings/leases';

describe('queues when Redis fails', () => {
  let dir: string;
  let redis: RedisServer;
  let app: TestApp;
  let owner: Caller;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'queue-faults-'));
    redis = await startRedis({ role: 'state', dir, passwords: { admin: 'admin-admin', app: 'app-app-app' } });
    app = await TestApp.start({ servers: { state: redis } });
  });
  beforeEach(async () => {
    owner = await app.caller('owner');
  });
  afterAll(async () => {
    await app.close();
    await redis.stop();
    await rm(dir, { recursive: true });
  });
  const add = (doc: string, chunk = 'x') => owner.post(JOBS).send({ task: { doc_id: doc, chunks: [chunk] } });

  it('refuses new jobs when the server is full, while lease, extend, nack and ack go on', async () => {
    await add('a').expect(201);
    await add('b').expect(201);
    await app.state.config('SET', 'maxmemory', '1mb');
    try {
      expect((await add('c').expect(507)).body.code).toBe('storage_full');
      const { jobs } = (await owner.post(LEASES).send({ max: 2 }).expect(200)).body;
      const [a, b] = jobs;
      await owner
        .post(`${JOBS}/${a.job_id}/extend`)
        .send({ lease_token: a.lease_token, lease_seconds: 60 })
        .expect(200);
      await owner.post(`${JOBS}/${a.job_id}/nack`).send({ lease_token: a.lease_token, error: 'x' }).expect(204);
      const acks = [{ job_id: b.job_id, lease_token: b.lease_token }];
      for (const lease of [{}, { request_id: 'r' }]) {
        const { body } = await owner.post('/queues/embeddings/acks').send({ acks, lease }).expect(200);
        expect(body).toEqual({ results: [{ job_id: b.job_id, status: 204 }], jobs: [] });
      }
    } finally {
      await app.state.config('SET', 'maxmemory', '0');
    }
    await add('c').expect(201);
  });

  it('answers 503 while it is frozen, leases to nobody at the thaw, and goes on', async () => {
    await add('a').expect(201);
    await redis.freeze();
    const refused = await owner.post(LEASES).send({ lease_seconds: 600 }).expect(503);
    expect(refused.body.code).toBe('redis_unavailable');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    await redis.thaw();
    const leased = await until(async () => {
      const answer = await owner.post(LEASES).send({ lease_seconds: 600 });
      return answer.status === 200 ? answer.body.jobs : undefined;
    }, 'it leases again');
    expect(leased).toMatchObject([{ attempt: 1 }]);
  });

  it('keeps jobs, leases and order through a restart of Redis', async () => {
    await add('a').expect(201);
    await add('b').expect(201);
    const [a] = (await owner.post(LEASES).send({ lease_seconds: 600 }).expect(200)).body.jobs;
    await redis.restart();
    await until(async () => (await owner.get('/queues/embeddings')).status === 200, 'it is back');
    await owner.post(`${JOBS}/${a.job_id}/ack`).send({ lease_token: a.lease_token }).expect(204);
    expect((await owner.post(LEASES).send({}).expect(200)).body.jobs[0].task.doc_id).toBe('b');
  });

  it('goes on when the scripts were flushed', async () => {
    await add('a').expect(201);
    await app.state.script('FLUSH');
    expect((await owner.post(LEASES).send({}).expect(200)).body.jobs).toHaveLength(1);
  });
});
