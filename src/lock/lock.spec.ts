import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { LockKeys } from './lock.keys.js';
import { LockService } from './lock.service.js';

describe('locks', () => {
  let app: TestApp;
  let locks: LockService;
  beforeAll(async () => {
    app = await TestApp.start();
    locks = app.get(LockService);
  });
  afterAll(() => app.close());

  it('grants a free lock once, and says to the second caller when to come back', async () => {
    const editor = await app.caller('editor');
    const granted = await editor.post('/locks/report').send({ ttl_ms: 30_000 }).expect(201);
    expect(granted.body).toEqual({
      token: expect.any(String),
      fence: expect.any(Number),
      expires_at: expect.stringMatching(/Z$/),
    });

    const refused = await editor.post('/locks/report').send({ ttl_ms: 1000 }).expect(423);
    expect(refused.body.code).toBe('locked');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(29);
  });

  it('lets only the holder prolong and release, and answers a repeated release alike', async () => {
    const editor = await app.caller('editor');
    const { token } = (await editor.post('/locks/a').send({ ttl_ms: 30_000 }).expect(201)).body;

    expect((await editor.patch('/locks/a').send({ token: 'other', ttl_ms: 1000 }).expect(409)).body.code).toBe(
      'lock_lost',
    );
    expect((await editor.delete('/locks/a').set('Lock-Token', 'other').expect(409)).body.code).toBe('lock_lost');
    await editor.patch('/locks/a').send({ token, ttl_ms: 60_000 }).expect(200);
    await editor.delete('/locks/a').set('Lock-Token', token).expect(204);
    await editor.post('/locks/a').send({ ttl_ms: 30_000 }).expect(201);
    await editor.delete('/locks/a').set('Lock-Token', token).expect(204);
    await editor.post('/locks/a').send({ ttl_ms: 30_000 }).expect(423);
  });

  it('leave no token in Redis that frees them', async () => {
    const projectId = newProject();
    const holder = await locks.acquire(projectId, 'a', { ttlMs: 30_000 });
    const waiting = locks.acquire(projectId, 'a', { ttlMs: 30_000, waitMs: 20_000 });
    const queue = app.get(LockKeys).queue(projectId, 'a');
    await until(async () => (await app.state.zcard(queue)) === 1, 'one who waits');
    const stored = [
      await app.state.get(app.get(LockKeys).lock(projectId, 'a')),
      await app.state.zrange(queue, '0', '-1'),
    ];
    for (const secret of stored.flat().flatMap((text) => [text!, text!.split(' ')[0]!]))
      await expect(locks.release(projectId, 'a', secret)).rejects.toMatchObject({ code: 'lock_lost' });
    await locks.release(projectId, 'a', holder.token);
    await locks.release(projectId, 'a', (await waiting).token);
  });

  it('hands a released lock to a waiter', async () => {
    const projectId = newProject();
    const first = await locks.acquire(projectId, 'a', { ttlMs: 30_000 });
    const waiting = locks.acquire(projectId, 'a', { ttlMs: 1000, waitMs: 10_000 });
    await locks.release(projectId, 'a', first.token);
    expect((await waiting).fence).toBeGreaterThan(first.fence);
  });

  it('hands an expired lock to a waiter', async () => {
    const projectId = newProject();
    await locks.acquire(projectId, 'a', { ttlMs: 100 });
    await expect(locks.acquire(projectId, 'a', { ttlMs: 1000, waitMs: 10_000 })).resolves.toMatchObject({
      fence: expect.any(Number),
    });
  });

  it('grants fences that only grow, also after the counter was lost', async () => {
    const projectId = newProject();
    let last = 0;
    for (let i = 0; i < 20; i += 1) {
      const lock = await locks.acquire(projectId, 'a', { ttlMs: 1000 });
      expect(lock.fence).toBeGreaterThan(last);
      last = lock.fence;
      await locks.release(projectId, 'a', lock.token);
      if (i % 3 === 0) await app.state.del(app.keys.key(projectId, 'lock', 'a', 'fence'));
    }
  });

  it('names the field that breaks its rule', async () => {
    const editor = await app.caller('editor');
    const { body } = await editor.post('/locks/a').send({ ttl_ms: 5, extra: 1 }).expect(400);
    expect(body.errors.map((error: { field: string }) => error.field).sort()).toEqual(['extra', 'ttl_ms']);
    expect((await editor.post('/locks/a%3Ab').send({ ttl_ms: 500 }).expect(400)).body.errors[0].field).toBe('name');
    expect((await editor.delete('/locks/a').expect(400)).body.errors[0].field).toBe('Lock-Token');
  });

  it('is not for viewers, and not for another project', async () => {
    await (await app.caller('viewer')).post('/locks/a').send({ ttl_ms: 500 }).expect(403);
    const editor = await app.caller('editor');
    const foreign = `/v1/projects/${newProject()}/locks/a`;
    await app.anonymous.post(foreign).set('Authorization', `Bearer ${editor.token}`).send({ ttl_ms: 500 }).expect(403);
    await app.anonymous.post(foreign).send({ ttl_ms: 500 }).expect(401);
  });

  it('leaves no key without a TTL', async () => {
    const projectId = newProject();
    const lock = await locks.acquire(projectId, 'a', { ttlMs: 1000 });
    await locks.release(projectId, 'a', lock.token);
    await locks.acquire(projectId, 'a', { ttlMs: 1000 });
    const keys = await app.keysOf(projectId);
    expect(keys.length).toBeGreaterThan(1);
    for (const key of keys) expect(await app.state.pttl(key), key).toBeGreaterThan(0);
  });
});
