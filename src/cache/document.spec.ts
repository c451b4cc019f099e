import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { redisCalls } from '../../test/support/redis-calls.js';
import { CacheService } from './cache.service.js';

const A = { title: 'Tïtle "quoted"', content: 'line\nline ✓ \u0000 😀', version: 3 };

describe.each(['one', 'two'] as const)('documents on %s Redis server(s)', (redis) => {
  let app: TestApp;
  let editor: Caller;
  beforeAll(async () => {
    app = await TestApp.start({ redis });
  });
  afterAll(() => app.close());

  it('answers what was put, byte for byte what other programs read, also as that version', async () => {
    editor = await app.caller('editor');
    const put = await editor.put('/documents/a').send(A).expect(200);
    expect(put.body).toEqual({ id: 'a', ...A });

    const text = JSON.stringify({ id: 'a', title: A.title, content: A.content, version: 3 });
    expect(await app.cache.get(`proj:${editor.projectId}:doc:a`)).toBe(text);
    expect(await app.cache.get(`proj:${editor.projectId}:doc:a:version:3`)).toBe(text);
    for (const path of ['/documents/a', '/documents/a/versions/3']) {
      const { text: body, headers } = await editor.get(path).expect(200);
      expect(body).toBe(text);
      expect(headers).toMatchObject({
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'private, max-age=0, must-revalidate',
        etag: expect.stringMatching(/^"[\w-]+"$/),
      });
      expect(headers['vary']).toMatch(/Authorization, Cookie/);
    }
    expect((await editor.get('/documents/b').expect(404)).body.code).toBe('not_found');
    expect((await editor.get('/documents/a/versions/2').expect(404)).body.code).toBe('not_found');
  });

  it('spares the body for a caller that has it', async () => {
    editor = await app.caller('editor');
    await editor.put('/documents/a').send(A).expect(200);
    const etag = (await editor.get('/documents/a').expect(200)).headers['etag']!;
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await editor.get('/documents/a').set('If-None-Match', header).expect(304);
      expect(answer.text, header).toBe('');
      expect(answer.headers['etag']).toBe(etag);
      expect(answer.headers['cache-control']).toBe('private, max-age=0, must-revalidate');
    }
    await editor.get('/documents/a').set('If-None-Match', '"other"').expect(200);

    await editor
      .put('/documents/a')
      .send({ ...A, version: 4 })
      .expect(200);
    const changed = await editor.get('/documents/a').set('If-None-Match', etag).expect(200);
    expect(changed.headers['etag']).not.toBe(etag);
  });

  it('never lets an older version, or another one of the same number, replace what is stored', async () => {
    editor = await app.caller('editor');
    await editor.put('/documents/a').send(A).expect(200);
    await editor.put('/documents/a').send(A).expect(200);
    for (const refused of [
      { ...A, version: 2 },
      { ...A, title: 'other' },
      { ...A, content: 'other' },
    ]) {
      expect((await editor.put('/documents/a').send(refused).expect(409)).body.code).toBe('conflict');
    }
    expect((await editor.get('/documents/a').expect(200)).body).toEqual({ id: 'a', ...A });
    await editor.get('/documents/a/versions/2').expect(404);
    await editor
      .put('/documents/a')
      .send({ ...A, version: 9 })
      .expect(200);
    expect((await editor.get('/documents/a/versions/3').expect(200)).body.version).toBe(3);
    expect((await editor.get('/documents/a').expect(200)).body.version).toBe(9);
  });

  it('ends at the newest version, whatever the order of 50 writers at once', async () => {
    const cache = app.get(CacheService);
    const projectId = newProject();
    const versions = Array.from({ length: 50 }, () => Math.floor(Math.random() * 1_000_000));
    const outcomes = await Promise.allSettled(
      versions.map((version) => cache.put(projectId, { id: 'a', title: `v${version}`, content: '', version })),
    );
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    for (const reason of refused) expect(reason).toMatchObject({ code: 'conflict' });
    const newest = Math.max(...versions);
    expect((await cache.get(projectId, 'a'))?.document).toEqual({
      id: 'a',
      title: `v${newest}`,
      content: '',
      version: newest,
    });
  });

  it('removes a document with its versions, and nothing else', async () => {
    editor = await app.caller('editor');
    for (const id of ['a', 'ab', 'a.version']) {
      for (const version of [1, 2])
        await editor
          .put(`/documents/${id}`)
          .send({ ...A, version })
          .expect(200);
    }
    await editor.delete('/documents/a').expect(204);
    await editor.get('/documents/a').expect(404);
    for (const version of [1, 2]) {
      await editor.get(`/documents/a/versions/${version}`).expect(404);
      await editor.get(`/documents/ab/versions/${version}`).expect(200);
    }
    await editor.get('/documents/a.version').expect(200);
    await editor.delete('/documents/a').expect(204);
    await editor
      .put('/documents/a')
      .send({ ...A, version: 1 })
      .expect(200);
    expect((await editor.get('/documents/a/versions/1').expect(200)).body.id).toBe('a');
  });

  it('leaves no key without a TTL, and gives documents the one that was asked for', async () => {
    const owner = await app.caller('owner');
    await owner
      .put('/documents/a')
      .send({ ...A, ttl_seconds: 77 })
      .expect(200);
    await owner.put('/documents/b').send(A).expect(200);
    const ttl = (key: string): Promise<number> => app.cache.ttl(`proj:${owner.projectId}:doc:${key}`);
    for (const key of ['a', 'a:version:3']) expect(await ttl(key)).toSatisfy((s: number) => s > 60 && s <= 77);
    expect(await ttl('b')).toSatisfy((s: number) => s > 3500 && s <= 3600);

    await owner.delete('/documents/b').expect(204);
    await owner.delete('/documents').expect(204);
    await owner.put('/documents/c').send(A).expect(200);
    const keys = await app.keysOf(owner.projectId);
    expect(keys.length).toBeGreaterThan(3);
    for (const key of keys) {
      expect(Math.max(await app.state.pttl(key), await app.cache.pttl(key)), key).not.toBe(-1);
    }
  });
});

describe('the document routes', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  it('name the field that breaks its rule', async () => {
    const editor = await app.caller('editor');
    const wrong = [
      [{ content: '', version: 1 }, 'title'],
      [{ title: 7, content: '', version: 1 }, 'title'],
      [{ title: '', content: null, version: 1 }, 'content'],
      [{ title: '', content: '', version: -1 }, 'version'],
      [{ title: '', content: '', version: 1.5 }, 'version'],
      [{ title: '', content: '', version: '1' }, 'version'],
      [{ title: '', content: '', version: 2 ** 53 }, 'version'],
      [{ title: '', content: '', version: 1, ttl_seconds: 0 }, 'ttl_seconds'],
      [{ title: '', content: '', version: 1, ttl_seconds: 31_536_001 }, 'ttl_seconds'],
      [{ title: '', content: '', version: 1, id: 'a' }, 'id'],
    ] as const;
    for (const [body, field] of wrong) {
      const answer = await editor.put('/documents/a').send(body).expect(400);
      expect(answer.body.code).toBe('validation_failed');
      expect(answer.body.errors[0].field, JSON.stringify(body)).toBe(field);
    }
    for (const version of ['-1', '1.5', '01', 'x', '9007199254740992', '1e3']) {
      const answer = await editor.get(`/documents/a/versions/${version}`).expect(400);
      expect(answer.body.errors[0].field).toBe('version');
    }
    await editor.put('/documents/a').send({ title: '', content: '', version: 0 }).expect(200);
    await editor.get('/documents/a/versions/0').expect(200);
  });

  it('refuse a hostile id, and touch no key for it', async () => {
    const owner = await app.caller('owner');
    const hostile = [':', 'a:version:1', '*', '{a}', 'a\0', 'a\n', 'ä', ' ', 'a'.repeat(129), '../b', 'a/b'];
    for (const id of hostile.map(encodeURIComponent)) {
      expect((await owner.get(`/documents/${id}`).expect(400)).body.errors[0].field, id).toBe('doc_id');
      await owner.put(`/documents/${id}`).send(A).expect(400);
      await owner.delete(`/documents/${id}`).expect(400);
      await owner.get(`/documents/${id}/versions/1`).expect(400);
    }
    // The api rate limit counts refused calls too.
    expect((await app.keysOf(owner.projectId)).filter((key) => !key.includes(':ratelimit:'))).toEqual([]);
    await owner
      .put(`/documents/${'a'.repeat(128)}`)
      .send(A)
      .expect(200);
  });

  it('let viewers read, editors write, and owners alone invalidate; other projects are closed', async () => {
    const owner = await app.caller('owner');
    const viewer = await app.caller('viewer', owner.projectId);
    const editor = await app.caller('editor', owner.projectId);
    await editor.put('/documents/a').send(A).expect(200);
    await viewer.get('/documents/a').expect(200);
    await viewer.put('/documents/a').send(A).expect(403);
    await viewer.delete('/documents/a').expect(403);
    await editor.delete('/documents').expect(403);

    const path = `/v1/projects/${newProject()}/documents/a`;
    for (const method of ['get', 'put', 'delete'] as const) {
      await app.anonymous[method](path).set('Authorization', `Bearer ${owner.token}`).expect(403);
      await app.anonymous[method](path).expect(401);
    }
  });

  it('answer a document of another project with the same name to nobody', async () => {
    const [a, b] = [await app.caller('owner'), await app.caller('owner')];
    await a.put('/documents/same').send(A).expect(200);
    await b.get('/documents/same').expect(404);
    await b.delete('/documents/same').expect(204);
    await b.delete('/documents').expect(204);
    await a.get('/documents/same').expect(200);
  });
});

describe('the document service', () => {
  let app: TestApp;
  let cache: CacheService;
  beforeAll(async () => {
    app = await TestApp.start();
    cache = app.get(CacheService);
  });
  afterAll(() => app.close());

  it('takes no document without a sound TTL, id or content', async () => {
    const document = { id: 'a', title: '', content: '', version: 1 };
    for (const ttlSeconds of [0, -1, 0.5, NaN, Infinity, 31_536_001]) {
      await expect(cache.put(newProject(), document, { ttlSeconds })).rejects.toMatchObject({
        code: 'validation_failed',
      });
    }
    for (const change of [{ id: 'a:b' }, { title: 1 }, { version: -1 }]) {
      const broken = { ...document, ...change } as typeof document;
      await expect(cache.put(newProject(), broken)).rejects.toMatchObject({ code: 'validation_failed' });
    }
    const long = { ...document, content: 'x'.repeat(2_200_000) };
    await expect(cache.put(newProject(), long)).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('keeps the last 1,000 versions of a document, so that deleting them all stays one bounded step', async () => {
    const projectId = newProject();
    for (let version = 1; version <= 1003; version += 1) {
      await cache.put(projectId, { id: 'a', title: '', content: '', version });
    }
    const kept = (await app.keysOf(projectId)).filter((key) => key.includes(':version:'));
    expect(kept).toHaveLength(1000);
    expect(await cache.getVersion(projectId, 'a', 3)).toBeUndefined();
    expect(await cache.getVersion(projectId, 'a', 4)).toBeDefined();
    await cache.delete(projectId, 'a');
    expect((await app.keysOf(projectId)).filter((key) => key.includes(':doc:'))).toEqual([]);
  });

  it('counts hits and misses by project', async () => {
    const projectId = newProject();
    expect(cache.stats(projectId)).toEqual({ hits: 0, misses: 0 });
    await cache.put(projectId, { id: 'a', title: '', content: '', version: 1 });
    await cache.get(projectId, 'a');
    await cache.getVersion(projectId, 'a', 1);
    await cache.get(projectId, 'b');
    expect(cache.stats(projectId)).toEqual({ hits: 2, misses: 1 });
    expect(cache.stats(newProject())).toEqual({ hits: 0, misses: 0 });
  });

  it('answers a hit with one call to Redis', async () => {
    await using quiet = await TestApp.start();
    const documents = quiet.get(CacheService);
    const projectId = newProject();
    await documents.put(projectId, { id: 'a', title: '', content: '', version: 1 });
    await documents.get(projectId, 'a');
    const calls = await redisCalls(quiet);
    await documents.get(projectId, 'a');
    expect(await redisCalls(quiet)).toEqual({ ...calls, 'cache.read': calls['cache.read']! + 1 });
  });
});
