import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import type { ProjectId } from '../common/project-id.js';
import { SessionKeys } from './session.keys.js';
import { SessionService } from './session.service.js';

describe('the sessions of a project', () => {
  let app: TestApp;
  let second: TestApp;
  let sessions: SessionService;
  beforeAll(async () => {
    [app, second] = await Promise.all([TestApp.start(), TestApp.start()]);
    sessions = app.get(SessionService);
  });
  afterAll(() => Promise.all([app.close(), second.close()]));

  async function open(projectId: ProjectId, userId: string) {
    const { session, token } = await sessions.open(projectId, { userId, role: 'viewer' });
    /** What a request with the token answers at the other instance. */
    const status = async () =>
      (
        await second.anonymous
          .get(`/v1/projects/${projectId}/sessions/current`)
          .set('Authorization', `Session ${token}`)
      ).status;
    return { id: session.sessionId, token, status };
  }

  it('are listed page by page, each once, also those that expire in the same millisecond', async () => {
    const projectId = newProject();
    const owner = await app.caller('owner', projectId);
    expect((await owner.get('/sessions').expect(200)).body).toEqual({ items: [] });
    const opened = await Promise.all(Array.from({ length: 25 }, (_, i) => open(projectId, `user-${i}`)));
    const index = app.get(SessionKeys).index(projectId);
    const expiry = await app.state.zscore(index, opened[0]!.id);
    for (const { id } of opened.slice(5)) await app.state.zadd(index, expiry!, id);

    const seen: string[] = [];
    let cursor = '';
    do {
      const { body } = await owner.get(`/sessions?limit=4${cursor}`).expect(200);
      expect(body.items.length).toBeLessThanOrEqual(4);
      seen.push(...body.items.map((item: { session_id: string }) => item.session_id));
      cursor = body.next_cursor === undefined ? '' : `&cursor=${body.next_cursor}`;
    } while (cursor !== '');
    expect(seen.length).toBe(25);
    expect(seen.sort()).toEqual(opened.map(({ id }) => id).sort());
    const { items } = (await owner.get('/sessions?limit=1').expect(200)).body;
    expect(items).toEqual([
      {
        session_id: expect.any(String),
        user_id: expect.stringMatching(/^user-/),
        role: 'viewer',
        data: {},
        version: 1,
        created_at: expect.any(String),
        expires_at: expect.any(String),
      },
    ]);
  });

  it('end one by one, for the next request at every instance, and a repetition answers alike', async () => {
    const projectId = newProject();
    const owner = await app.caller('owner', projectId);
    const [a, b] = [await open(projectId, 'anna'), await open(projectId, 'anna')];
    expect(await a.status()).toBe(200);
    await owner.delete(`/sessions/${a.id}`).expect(204);
    expect(await a.status()).toBe(401);
    expect(await b.status()).toBe(200);
    await owner.delete(`/sessions/${a.id}`).expect(204);
    for (const unknown of ['none', `${a.id.slice(0, -16)}${'A'.repeat(16)}`]) {
      expect((await owner.delete(`/sessions/${unknown}`).expect(404)).body.code).toBe('not_found');
    }
  });

  it('end for one user alone', async () => {
    const projectId = newProject();
    const owner = await app.caller('owner', projectId);
    const user = 'änna & co *:{}';
    const hers = await Promise.all([open(projectId, user), open(projectId, user)]);
    const his = await open(projectId, 'bert');
    const elsewhere = await open(newProject(), user);
    expect(await hers[0]!.status()).toBe(200);
    await owner.delete('/sessions').query({ user_id: user }).expect(204);
    for (const { status } of hers) expect(await status()).toBe(401);
    expect(await his.status()).toBe(200);
    expect(await elsewhere.status()).toBe(200);
    await owner.delete('/sessions').query({ user_id: user }).expect(204);
    expect(await (await open(projectId, user)).status()).toBe(200);
  });

  it('end all at once for the project alone, and stay so when their user opens a new one', async () => {
    const projectId = newProject();
    const owner = await app.caller('owner', projectId);
    const [old, other] = [await open(projectId, 'anna'), await open(newProject(), 'anna')];
    expect(await old.status()).toBe(200);
    await owner.delete('/sessions').expect(204);
    expect(await old.status()).toBe(401);
    const fresh = await open(projectId, 'anna');
    expect(await old.status()).toBe(401);
    await expect(sessions.save(projectId, old.id, 1, {})).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(await fresh.status()).toBe(200);
    expect(await other.status()).toBe(200);
    expect((await owner.get('/sessions')).body.items).toHaveLength(1);
  });

  it('are for its owner alone', async () => {
    const projectId = newProject();
    const { id, status } = await open(projectId, 'anna');
    const foreigner = await app.caller('owner');
    const base = `/v1/projects/${projectId}/sessions`;
    for (const role of ['viewer', 'editor', 'worker'] as const) {
      const caller = await app.caller(role, projectId);
      await caller.get('/sessions').expect(403);
      await caller.delete('/sessions').expect(403);
      await caller.delete('/sessions?user_id=anna').expect(403);
      await caller.delete(`/sessions/${id}`).expect(403);
    }
    await app.anonymous.get(base).set('Authorization', `Bearer ${foreigner.token}`).expect(403);
    await app.anonymous.delete(base).set('Authorization', `Bearer ${foreigner.token}`).expect(403);
    await app.anonymous.delete(base).expect(401);
    expect((await foreigner.get('/sessions').expect(200)).body.items).toEqual([]);
    await foreigner.delete(`/sessions/${id}`).expect(404);
    await foreigner.delete('/sessions?user_id=anna').expect(204);
    await foreigner.delete('/sessions').expect(204);
    expect(await status()).toBe(200);
  });

  it('tell when they end without being prolonged', async () => {
    const projectId = newProject();
    const { session } = await sessions.open(projectId, { userId: 'anna', role: 'viewer' });
    expect(await sessions.expiresAt(projectId, session.sessionId)).toBe(session.expiresAt);
    await sessions.end(projectId, session.sessionId);
    expect(await sessions.expiresAt(projectId, session.sessionId)).toBeUndefined();
  });
});
