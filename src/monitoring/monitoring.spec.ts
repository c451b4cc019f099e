import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { parseProjectId } from '../common/project-id.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { KeySweep } from './key-sweep.js';
import { StatsRegistry } from './stats.registry.js';

describe('monitoring', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ env: { METRICS_TOKEN: 'a-token-of-the-tests' } });
  });
  afterAll(() => app.close());

  const metrics = async (): Promise<string> =>
    (await app.anonymous.get('/metrics').set('Authorization', 'Bearer a-token-of-the-tests').expect(200)).text;

  describe('GET /metrics', () => {
    it('is for the bearer of METRICS_TOKEN only', async () => {
      await app.anonymous.get('/metrics').expect(401);
      await app.anonymous.get('/metrics').set('Authorization', 'Bearer a-token-of-the-test').expect(401);
      const { body } = await app.anonymous.get('/metrics').set('Authorization', 'a-token-of-the-tests').expect(401);
      expect(body.code).toBe('unauthenticated');
    });

    it('is open to all where there is no METRICS_TOKEN', async () => {
      await using open = await TestApp.start();
      const { headers } = await open.anonymous.get('/metrics').expect(200);
      expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    });

    it('measures requests by the pattern of their route, refused and unknown ones too', async () => {
      const viewer = await app.caller('viewer');
      await viewer.get('/stats').expect(200);
      await viewer.post('/locks/a').send({ ttl_ms: 500 }).expect(403);
      await app.anonymous.get('/v1/projects/none/stats').expect(400);
      await app.anonymous.get('/no/such/route').expect(404);
      const count = (method: string, route: string, status: number): string =>
        `http_request_duration_seconds_count{method="${method}",route="${route}",status="${status}"}`;
      await until(async () => {
        const text = await metrics();
        return [
          count('GET', '/v1/projects/:project_id/stats', 200),
          count('POST', '/v1/projects/:project_id/locks/:name', 403),
          count('GET', '/v1/projects/:project_id/stats', 400),
          count('GET', 'none', 404),
        ].every((line) => text.includes(line));
      }, 'the four requests in the metrics');
    });

    it('tells of the process and of Redis, and never of a project', async () => {
      const editor = await app.caller('editor');
      await editor.post('/locks/a-lock').send({ ttl_ms: 500 }).expect(201);
      const text = await metrics();
      expect(text).toContain('process_cpu_seconds_total');
      expect(text).toContain('redis_call_duration_seconds_count{role="state",op="lock.acquire"}');
      expect(text).not.toContain(editor.projectId);
      expect(text).not.toContain('a-lock');
      expect(text).not.toContain('a-token-of-the-tests');
    });
  });

  describe('GET /stats', () => {
    it('counts keys and bytes by kind on both servers, after a sweep in the background', async () => {
      const viewer = await app.caller('viewer');
      const projectId = parseProjectId(viewer.projectId);
      const name = (...parts: [string, ...string[]]): string => app.keys.key(projectId, ...parts);
      await app.state.rpush(name('queue', 'embeddings'), 'x'.repeat(5000));
      await app.state.set(`proj:${projectId}:not a name`, 'x', 'EX', 60);
      await app.cache.set(name('doc', 'a'), 'x', 'EX', 60);
      await app.cache.set(name('doc', 'a', 'version', '1'), 'x', 'EX', 60);

      expect((await viewer.get('/stats').expect(200)).body).toMatchObject({ keys: {}, measured_at: null });
      const body = await until(async () => {
        const answer = (await viewer.get('/stats').expect(200)).body;
        return answer.measured_at === null ? undefined : answer;
      }, 'the first measurement');
      // The api limit has a key of its own as soon as somebody asks.
      expect(body.keys).toMatchObject({
        doc: { count: 2, bytes: expect.any(Number) },
        queue: { count: 1, bytes: expect.any(Number) },
        other: { count: 1, bytes: expect.any(Number) },
      });
      expect(body.keys.queue.bytes).toBeGreaterThan(5000);
      expect(body.measured_at).toMatch(/^\d{4}-.+Z$/);
    });

    it('measures a project at most once a minute, and forgets it when it is purged', async () => {
      const projectId = newProject();
      const sweep = app.get(KeySweep);
      await app.state.set(app.keys.key(projectId, 'x'), '1', 'EX', 60);
      const first = await until(() => sweep.latest(projectId), 'the measurement');
      await app.state.set(app.keys.key(projectId, 'y'), '1', 'EX', 60);
      expect(sweep.latest(projectId)).toBe(first);
      // The sweep of another project, asked for later, would have come after a second one of this project.
      const later = newProject();
      await until(() => sweep.latest(later), 'the other measurement');
      expect(sweep.latest(projectId)).toBe(first);

      for (const { hook } of app.get(PurgeRegistry).hooks) await hook(projectId);
      expect(sweep.latest(projectId)).toBeUndefined();
    });

    it('tells of documents, queues and streams of this project alone', async () => {
      const owner = await app.caller('owner');
      await owner.get('/documents/a').expect(404);
      await owner.put('/documents/a').send({ title: 't', content: 'c', version: 1 }).expect(200);
      await owner.get('/documents/a').expect(200);
      await owner
        .post('/queues/embeddings/jobs')
        .send({ task: { doc_id: 'a', chunks: ['c'] } })
        .expect(201);
      expect((await owner.get('/stats').expect(200)).body).toMatchObject({
        cache: { hits: 1, misses: 1, hit_rate: 0.5 },
        queues: [{ queue: 'embeddings', waiting: 1, leased: 0 }],
        quotas: [{ resource: 'embeddings' }, { resource: 'llm_tokens' }],
        streams: { open: 0 },
      });
      const other = (await (await app.caller('viewer')).get('/stats').expect(200)).body;
      expect(other).toMatchObject({ cache: { hits: 0, misses: 0, hit_rate: null }, queues: [{ waiting: 0 }] });
    });

    it('holds what the features tell of this project', async () => {
      const viewer = await app.caller('viewer');
      app.get(StatsRegistry).register('of-the-test', async (projectId) => ({ seen: projectId }));
      const { body } = await viewer.get('/stats').expect(200);
      expect(body['of-the-test']).toEqual({ seen: viewer.projectId });
      expect(() => app.get(StatsRegistry).register('of-the-test', async () => undefined)).toThrow('of-the-test');
    });

    it('is not for another project', async () => {
      const viewer = await app.caller('viewer');
      const foreign = `/v1/projects/${newProject()}/stats`;
      await app.anonymous.get(foreign).set('Authorization', `Bearer ${viewer.token}`).expect(403);
      await app.anonymous.get(foreign).expect(401);
    });
  });
});
