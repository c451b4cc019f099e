import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';
import { newProject, tokenFor } from '../../test/support/projects.js';
import { SessionKeys } from './session.keys.js';
import { SessionService } from './session.service.js';
import { parseToken } from './session-token.js';

describe('the secret of a session', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  const open = async (caller: Caller): Promise<string> =>
    (await caller.post('/sessions').send({}).expect(201)).body.token;
  const current = (caller: Caller, token: string) =>
    app.anonymous.get(`${caller.base}/sessions/current`).set('Authorization', `Session ${token}`);
  const write = (caller: Caller, token: string) =>
    app.anonymous.post(`${caller.base}/locks/a`).set('Authorization', `Session ${token}`).send({ ttl_ms: 100 });

  it('changes with the role; requests under way go on with the old one, until its time is over', async () => {
    const projectId = newProject();
    const viewer = await app.caller('viewer', projectId, 'anna');
    const editor = await app.caller('editor', projectId, 'anna');
    const before = await open(viewer);
    await write(viewer, before).expect(403);

    const rotated = await editor.post('/sessions/rotate').send({ token: before }).expect(200);
    expect(rotated.headers['set-cookie']?.[0]).toContain(`session=${rotated.body.token}`);
    expect(rotated.headers['cache-control']).toBe('no-store');
    const after: string = rotated.body.token;
    expect(parseToken(after)!.sessionId).toBe(parseToken(before)!.sessionId);
    expect((await current(viewer, after).expect(200)).body).toMatchObject({ role: 'editor', version: 1 });
    await write(viewer, after).expect(201);
    await current(viewer, before).expect(200);
    await write(viewer, before).expect(403);

    // Its ten seconds are over.
    const key = app.get(SessionKeys).session(projectId, parseToken(before)!.sessionId);
    await app.state.hset(key, 'before_until', '1');
    await current(viewer, before).expect(401);
    await current(viewer, after).expect(200);
  });

  it('is good for ten seconds after the rotation, and never longer than the session', async () => {
    const viewer = await app.caller('viewer');
    const { session, token } = await app
      .get(SessionService)
      .open(newProject(), { userId: 'anna', role: 'viewer', ttlSeconds: 5 });
    expect(session.expiresAt - session.createdAt).toBe(5000);
    const opened = await open(viewer);
    await viewer.post('/sessions/rotate').send({ token: opened }).expect(200);
    const key = app.get(SessionKeys).session(viewer.projectId as never, parseToken(opened)!.sessionId);
    const [seconds] = await app.state.time();
    const until = Number(await app.state.hget(key, 'before_until')) - Number(seconds) * 1000;
    expect(until).toBeGreaterThan(5000);
    expect(until).toBeLessThanOrEqual(11_000);
    expect(token).toBeTruthy();
  });

  it('rotates only with the present one, of the caller’s own session, and for a bearer', async () => {
    const projectId = newProject();
    const anna = await app.caller('viewer', projectId, 'anna');
    const bob = await app.caller('owner', projectId, 'bob');
    const first = await open(anna);
    await bob.post('/sessions/rotate').send({ token: first }).expect(404);
    await (
      await app.caller('viewer', newProject(), 'anna')
    )
      .post('/sessions/rotate')
      .send({ token: first })
      .expect(404);
    await anna.post('/sessions/rotate').send({ token: 'no token' }).expect(404);
    expect((await anna.post('/sessions/rotate').send({}).expect(400)).body.errors[0].field).toBe('token');
    const second = (await anna.post('/sessions/rotate').send({ token: first }).expect(200)).body.token as string;
    await anna.post('/sessions/rotate').send({ token: first }).expect(404);
    const bySession = app.anonymous.post(`${anna.base}/sessions/rotate`).set('Authorization', `Session ${second}`);
    await bySession.send({ token: second }).expect(403);
    await app.anonymous.delete(`${anna.base}/sessions/current`).set('Authorization', `Session ${second}`).expect(204);
    await current(anna, first).expect(401);
    await anna.post('/sessions/rotate').send({ token: second }).expect(404);
  });

  it('lets one of many parallel rotations win', async () => {
    const anna = await app.caller('viewer');
    const token = await open(anna);
    const answers = await Promise.all(Array.from({ length: 20 }, () => anna.post('/sessions/rotate').send({ token })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 19 }, () => 404)]);
  });

  it('is not kept in Redis in a form that opens anything', async () => {
    const anna = await app.caller('viewer');
    const token = await open(anna);
    const next = (await anna.post('/sessions/rotate').send({ token }).expect(200)).body.token as string;
    const secrets = [token, next].map((one) => one.split('.').at(-1)!);
    for (const key of await app.keysOf(anna.projectId)) {
      const kind = await app.state.type(key);
      const text = kind === 'hash' ? JSON.stringify(await app.state.hgetall(key)) : key;
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
  });

  it('is replaced by a new log-in: the session whose cookie comes along ends', async () => {
    const projectId = newProject();
    const anna = await app.caller('viewer', projectId, 'anna');
    const first = await open(anna);
    await anna.post('/sessions').set('Cookie', `session=${first}`).send({}).expect(201);
    await current(anna, first).expect(401);

    const second = await open(anna);
    const bob = await tokenFor(projectId, 'viewer', 'bob');
    const ofBob = app.anonymous.post(`${anna.base}/sessions`).set('Authorization', `Bearer ${bob}`);
    await ofBob.set('Cookie', `session=${second}`).send({}).expect(201);
    await current(anna, second).expect(200);
  });
});
