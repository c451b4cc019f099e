import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import type { Role } from '../auth/principal.js';

describe('sessions', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  /** Opens a session over HTTP. */
  async function open(
    body: object = {},
    { role = 'editor' as Role, projectId = newProject() as string, user = '' } = {},
  ) {
    const bearer = await app.caller(role, projectId, user || randomUUID());
    const answer = await bearer.post('/sessions').send(body).expect(201);
    return { ...withSession(bearer, answer.body.token), answer, bearer, user, id: answer.body.session_id as string };
  }

  function withSession({ base }: Caller, token: string) {
    const request = (method: 'get' | 'patch' | 'delete' | 'post', path = '/sessions/current') =>
      app.anonymous[method](base + path);
    return {
      base,
      token,
      byHeader: (...args: Parameters<typeof request>) => request(...args).set('Authorization', `Session ${token}`),
      byCookie: (...args: Parameters<typeof request>) => request(...args).set('Cookie', `a=b; session=${token}; c=d`),
    };
  }

  it('opens a session of the caller with its role, and answers its token once and as a cookie', async () => {
    const { answer, byHeader, base, token } = await open(
      { data: { theme: 'dark' }, ttl_seconds: 60 },
      { role: 'viewer', user: 'anna | *' },
    );
    expect(answer.body).toEqual({
      session_id: expect.stringMatching(/^[A-Za-z0-9._-]{1,128}$/),
      user_id: 'anna | *',
      role: 'viewer',
      data: { theme: 'dark' },
      version: 1,
      created_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
      expires_at: expect.stringMatching(/Z$/),
      token: expect.any(String),
    });
    expect(Date.parse(answer.body.expires_at) - Date.parse(answer.body.created_at)).toBe(60_000);
    expect(answer.headers['cache-control']).toBe('no-store');
    const cookie = (answer.headers['set-cookie'] as unknown as string[])[0]!;
    expect(cookie.split('; ').sort()).toEqual(['HttpOnly', `Path=${base}`, 'SameSite=Lax', `session=${token}`].sort());

    const { token: _secret, ...session } = answer.body;
    expect((await byHeader('get').expect(200)).body).toEqual(session);
  });

  it('marks the cookie Secure in production', async () => {
    await using production = await TestApp.start({ env: { NODE_ENV: 'production' } });
    const answer = await (await production.caller('viewer')).post('/sessions').expect(201);
    expect((answer.headers['set-cookie'] as unknown as string[])[0]).toMatch(/; Secure(;|$)/);
  });

  it('authenticates by header and by cookie, with the role that the caller had', async () => {
    const { byHeader, byCookie } = await open({}, { role: 'viewer' });
    await byHeader('get').expect(200);
    await byCookie('get').expect(200);
    expect((await byHeader('post', '/locks/a').send({ ttl_ms: 500 }).expect(403)).body.code).toBe('forbidden');
    expect((await byHeader('get', '/sessions').expect(403)).body.code).toBe('forbidden');
  });

  it('opens a session for a bearer only, and knows no current session of a bearer', async () => {
    const { byHeader, bearer } = await open();
    await byHeader('post', '/sessions').expect(403);
    await bearer.get('/sessions/current').expect(404);
    await bearer.patch('/sessions/current').send({ data: {}, version: 1 }).expect(404);
    await bearer.delete('/sessions/current').expect(404);
  });

  it('refuses a write with the cookie from a foreign site', async () => {
    const { byCookie } = await open({});
    const write = () => byCookie('patch').send({ data: { a: 1 }, version: 1 });
    expect((await write().expect(403)).body.code).toBe('forbidden');
    await write().set('Sec-Fetch-Site', 'cross-site').expect(403);
    await write().set('Sec-Fetch-Site', 'same-site').expect(403);
    await write().set('Origin', 'https://evil.example').expect(403);
    await byCookie('delete').expect(403);
    await write().set('Sec-Fetch-Site', 'same-origin').expect(200);
    await byCookie('delete').set('Sec-Fetch-Site', 'none').expect(204);
  });

  it('lets an allowed origin write with the cookie', async () => {
    await using other = await TestApp.start({ env: { CORS_ORIGINS: 'https://app.example.com' } });
    const caller = await other.caller('editor');
    const { token } = (await caller.post('/sessions').expect(201)).body;
    await other.anonymous
      .delete(`${caller.base}/sessions/current`)
      .set('Cookie', `session=${token}`)
      .set('Origin', 'https://app.example.com')
      .expect(204);
  });

  it('takes what is no token, another secret, and a session of another project for the same: unknown', async () => {
    const { token, base, byHeader } = await open();
    const unknown = (path: string, value: string) =>
      app.anonymous.get(`${path}/sessions/current`).set('Authorization', `Session ${value}`).expect(401);
    const other = `/v1/projects/${newProject()}`;
    const wrong = `${token.slice(0, -32)}${'A'.repeat(32)}`;
    for (const answer of [
      await unknown(base, ''),
      await unknown(base, 'x'.repeat(5000)),
      await unknown(base, wrong),
      await unknown(other, token),
      await app.anonymous.get(`${base}/sessions/current`).set('Cookie', `session=${wrong}`).expect(401),
      await app.anonymous.delete(`${other}/sessions/current`).set('Authorization', `Session ${token}`).expect(401),
    ]) {
      expect(answer.body.code).toBe('unauthenticated');
    }
    await app.anonymous.get(`${base}/sessions/current`).expect(401);
    await byHeader('get').expect(200);
  });

  it('replaces the data when the version is the stored one, and only then', async () => {
    const { byHeader } = await open({ data: { a: 1 } });
    const data = { empty: [], nested: { n: 1.5, s: '\u0000ü😀' } };
    const saved = await byHeader('patch').send({ data, version: 1 }).expect(200);
    expect(saved.body).toMatchObject({ data, version: 2 });
    expect((await byHeader('get').expect(200)).body).toEqual(saved.body);
    expect((await byHeader('patch').send({ data: {}, version: 1 }).expect(409)).body.code).toBe('conflict');
    expect((await byHeader('get')).body).toEqual(saved.body);
  });

  it('names the field that breaks its rule', async () => {
    const { byHeader, bearer } = await open();
    const fields = async (request: PromiseLike<{ body: { errors: { field: string }[] } }>) =>
      [...new Set((await request).body.errors.map(({ field }) => field))].sort();
    const post = (body: object) => fields(bearer.post('/sessions').send(body).expect(400));
    expect(await post({ data: [], ttl_seconds: 0, extra: 1 })).toEqual(['data', 'extra', 'ttl_seconds']);
    expect(await post({ data: null })).toEqual(['data']);
    expect(await post({ ttl_seconds: 86_401 })).toEqual(['ttl_seconds']);
    expect(await post({ data: { a: 'x'.repeat(16_384) } })).toEqual(['data']);
    expect(await post({ data: { a: 'ü'.repeat(8_192) } })).toEqual(['data']);
    await bearer
      .post('/sessions')
      .send({ data: { a: 'x'.repeat(16_376) } })
      .expect(201);
    expect(await fields(byHeader('patch').send({}).expect(400))).toEqual(['data', 'version']);
    expect(await fields(byHeader('patch').send({ data: 'a', version: '1' }).expect(400))).toEqual(['data', 'version']);
    const owner = await app.caller('owner');
    expect(await fields(owner.get('/sessions?limit=101&cursor=').expect(400))).toEqual(['limit']);
    expect(await fields(owner.get('/sessions?cursor=next').expect(400))).toEqual(['cursor']);
    expect(await fields(owner.delete('/sessions?user=a').expect(400))).toEqual(['user']);
    expect(await fields(owner.delete('/sessions?user_id=').expect(400))).toEqual(['user_id']);
    expect(await fields(owner.delete('/sessions/a%3Ab').expect(400))).toEqual(['id']);
  });

  it('logs out, takes the cookie back, and answers a repetition alike', async () => {
    const { byHeader, byCookie, base, token } = await open();
    const answer = await byHeader('delete').expect(204);
    expect((answer.headers['set-cookie'] as unknown as string[])[0]).toMatch(
      new RegExp(`^session=; Path=${base}; Expires=Thu, 01 Jan 1970`),
    );
    await byHeader('delete').expect(204);
    await byCookie('delete').set('Sec-Fetch-Site', 'same-origin').expect(204);
    await byHeader('get').expect(401);
    await byHeader('patch').send({ data: {}, version: 1 }).expect(401);
    const wrong = `${token.slice(0, -32)}${'A'.repeat(32)}`;
    await app.anonymous.delete(`${base}/sessions/current`).set('Authorization', `Session ${wrong}`).expect(401);
  });

  it('keeps no usable token in Redis', async () => {
    const { token, id, bearer, byHeader } = await open();
    await byHeader('get').expect(200);
    const secret = token.slice(id.length + 1);
    const texts: string[] = [];
    for (const key of await app.keysOf(bearer.projectId)) {
      texts.push(key);
      const type = await app.state.type(key);
      if (type === 'zset') texts.push(...(await app.state.zrange(key, 0, '-1')));
      else if (type === 'hash') texts.push(...Object.values(await app.state.hgetall(key)));
    }
    expect(texts.length).toBeGreaterThan(10);
    for (const text of texts) {
      expect(text).not.toContain(secret);
      await app.anonymous
        .get(`${bearer.base}/sessions/current`)
        .set('Authorization', `Session ${id}.${text}`)
        .expect(401);
    }
  });
});
