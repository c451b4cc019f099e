import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { parseProjectId } from '../common/project-id.js';
import { until } from '../../test/support/until.js';
import { SessionKeys } from './session.keys.js';

describe('sessions when Redis is in trouble', () => {
  let server: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  beforeAll(async () => {
    server = await ownRedis();
    app = await TestApp.start({ servers: { state: server } });
  });
  afterAll(async () => {
    await app.close();
    await server[Symbol.asyncDispose]();
  });

  async function open() {
    const caller = await app.caller('editor');
    const { token, session_id: id } = (await caller.post('/sessions').expect(201)).body as Record<string, string>;
    const current = (method: 'get' | 'patch' | 'delete') =>
      app.anonymous[method](`${caller.base}/sessions/current`).set('Authorization', `Session ${token}`);
    return { caller, id: id!, current };
  }

  it('are unavailable while it is away, never denied, and go on when it is back', async () => {
    const { current } = await open();
    await server.stop();
    for (let i = 0; i < 5; i += 1) {
      const refused = await current('get').expect(503);
      expect(refused.body.code).toBe('redis_unavailable');
      expect(refused.headers['retry-after']).toBe('1');
    }
    await server.restart();
    await until(async () => (await current('get')).status === 200, 'the session');
  });

  it('are unavailable while it is frozen, never denied, and go on when it thaws', async () => {
    const { current } = await open();
    await server.freeze();
    expect((await current('get').expect(503)).body.code).toBe('redis_unavailable');
    await server.thaw();
    await until(async () => (await current('get')).status === 200, 'the session');
  });

  it('authenticate, slide and end when it is full; only what needs memory is refused', async () => {
    const { caller, id, current } = await open();
    const index = app.get(SessionKeys).index(parseProjectId(caller.projectId));
    const near = Number(await app.state.zscore(index, id)) - 3_600_000;
    await app.state.zadd(index, near, id);
    await app.state.config('SET', 'maxmemory', '1');
    try {
      expect((await caller.post('/sessions').expect(507)).body.code).toBe('storage_full');
      await current('patch').send({ data: {}, version: 1 }).expect(507);
      await current('get').expect(200);
      expect(Number(await app.state.zscore(index, id))).toBeGreaterThan(near);
      await current('delete').expect(204);
      await current('get').expect(401);
    } finally {
      await app.state.config('SET', 'maxmemory', '2gb');
    }
  });
});
