import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { PurgeRegistry } from './purge.registry.js';

describe('purge', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  /** Keys of every type on both servers, with and without TTL, settings and undone work among them. */
  async function fill(projectId: ProjectId, strings = 1500): Promise<void> {
    const name = (...parts: [string, ...string[]]) => app.keys.key(projectId, ...parts);
    await app.state.rpush(name('queue', 'embeddings'), 'a', 'b');
    await app.state.hset(name('config', 'ratelimit'), 'api', '{}');
    await app.state.xadd(name('progress', 'log'), '*', 'a', 'b');
    await app.state.zadd(name('session'), 1, 'a');
    await app.state.sadd(name('set'), 'a');
    const many = Array.from({ length: strings }, (_, i) => [name('many', String(i)), `value ${i}`]).flat();
    if (many.length > 0) await Promise.all([app.state.mset(many), app.cache.mset(many)]);
    await app.cache.set(name('doc', 'a'), '{}', 'EX', 3600);
  }

  /** Bytes and TTLs of all keys of the project on both servers. */
  async function snapshot(projectId: ProjectId): Promise<string[]> {
    const keys = await app.keysOf(projectId);
    const lines = [app.state, app.cache].flatMap((server) =>
      keys.map(async (key) => {
        const [bytes, expiry] = await Promise.all([server.dumpBuffer(key), server.pexpiretime(key)]);
        return `${key} ${expiry} ${bytes?.toString('base64') ?? 'none'}`;
      }),
    );
    return Promise.all(lines);
  }

  const emptied = (projectId: ProjectId) => until(async () => (await app.keysOf(projectId)).length === 0, 'the sweep');

  it('removes everything of the project on both servers, and changes no byte of another', async () => {
    const [a, b] = [newProject(), newProject()];
    await Promise.all([fill(a), fill(b)]);
    const before = await snapshot(b);
    const owner = await app.caller('owner', a);
    const answer = await owner.delete('').expect(202);
    expect(answer.text).toBe('');
    await emptied(a);
    expect(await snapshot(b)).toEqual(before);
    await (await app.caller('owner', b)).delete('').expect(202);
    await emptied(b);
  });

  it('removes all of several projects that are purged at once, repeatedly', async () => {
    const projects = Array.from({ length: 5 }, () => newProject());
    await Promise.all(projects.map((projectId) => fill(projectId, 50)));
    await Promise.all(
      [...projects, ...projects].map(async (projectId) =>
        (await app.caller('owner', projectId)).delete('').expect(202),
      ),
    );
    for (const projectId of projects) await emptied(projectId);
  });

  it('ends the sessions of the project at once', async () => {
    const projectId = newProject();
    const owner = await app.caller('owner', projectId);
    const { token } = (await owner.post('/sessions').expect(201)).body;
    const withSession = (method: 'get' | 'delete', path: string) =>
      app.anonymous[method](owner.base + path).set('Authorization', `Session ${token}`);
    await withSession('get', '/sessions/current').expect(200);
    await withSession('delete', '').expect(202);
    await withSession('get', '/sessions/current').expect(401);
    await emptied(projectId);
  });

  it('is for the owner alone', async () => {
    const projectId = newProject();
    await fill(projectId, 0);
    const before = await snapshot(projectId);
    for (const role of ['viewer', 'editor', 'worker'] as const) {
      await (await app.caller(role, projectId)).delete('').expect(403);
    }
    const foreigner = await app.caller('owner');
    const base = `/v1/projects/${projectId}`;
    await app.anonymous.delete(base).set('Authorization', `Bearer ${foreigner.token}`).expect(403);
    await app.anonymous.delete(base).expect(401);
    expect((await app.anonymous.delete('/v1/projects/all').expect(400)).body.code).toBe('project_id_invalid');
    expect(await snapshot(projectId)).toEqual(before);
    await (await app.caller('owner', projectId)).delete('').expect(202);
    await emptied(projectId);
  });

  it('tries every feature, and is unavailable when one fails, until a repetition succeeds', async () => {
    await using own = await TestApp.start();
    const projectId = newProject();
    await fill(projectId, 0);
    const called: string[] = [];
    let broken = true;
    const registry = own.get(PurgeRegistry);
    registry.register('broken', () => {
      called.push('broken');
      if (broken) throw new Error('out of order');
      return Promise.resolve();
    });
    registry.register('other', async () => void called.push('other'));
    const owner = await own.caller('owner', projectId);
    const { body, headers } = await owner.delete('').expect(503);
    expect(body.code).toBe('redis_unavailable');
    expect(JSON.stringify(body)).not.toContain('out of order');
    expect(headers['retry-after']).toBe('1');
    expect(called).toEqual(['broken', 'other']);
    broken = false;
    await owner.delete('').expect(202);
    await emptied(projectId);
  });

  it('removes what hides the old data after all other keys', async () => {
    await using own = await TestApp.start();
    const projectId = newProject();
    await fill(projectId);
    const veil = app.keys.key(projectId, 'veil');
    await app.state.set(veil, '1');
    own.get(PurgeRegistry).register(
      'veiled',
      async () => undefined,
      (purged) => [app.keys.key(purged, 'veil')],
    );
    await (await own.caller('owner', projectId)).delete('').expect(202);
    let others = 1;
    await until(async () => {
      // Commands of one transaction: the veil is gone only when nothing else is left.
      const [[, there], [, rest]] = (await app.state
        .multi()
        .exists(veil)
        .exists(...Array.from({ length: 1500 }, (_, i) => app.keys.key(projectId, 'many', String(i))))
        .exec()) as [[null, number], [null, number]];
      others = rest;
      return there === 0;
    }, 'the veil');
    expect(others).toBe(0);
    await emptied(projectId);
  });
});
