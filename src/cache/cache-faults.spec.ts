import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

const A = { title: 'A', content: 'text', version: 1 };
const passwords = { admin: 'admin', app: 'app' };

describe('documents when Redis fails', () => {
  let dir: string;
  const servers: RedisServer[] = [];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'document-api-cache-'));
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.stop()));
    await rm(dir, { recursive: true, force: true });
  });

  async function start(role: 'state' | 'cache' | 'single', extraArgs: string[] = []): Promise<RedisServer> {
    const server = await startRedis({ role, dir: join(dir, role), passwords, extraArgs });
    servers.push(server);
    return server;
  }

  it('are answered 503 while the cache server is away, and normally once it is back', async () => {
    const [state, cache] = [await start('state'), await start('cache')];
    await using app = await TestApp.start({ servers: { state, cache } });
    const owner = await app.caller('owner');
    await owner.put('/documents/a').send(A).expect(200);

    await cache.stop();
    for (const answer of [
      await owner.get('/documents/a'),
      await owner.put('/documents/a').send(A),
      await owner.delete('/documents/a'),
      await owner.delete('/documents'),
    ]) {
      expect(answer.status).toBe(503);
      expect(answer.body.code).toBe('redis_unavailable');
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    await cache.restart();
    await until(async () => (await owner.put('/documents/b').send(A)).status === 200, 'the return');
    await owner.get('/documents/b').expect(200);
    await owner.get('/documents/a').expect(404);
  });

  it('are answered within the deadline while the cache server is frozen; a put that was refused is not made later', async () => {
    const [state, cache] = [await start('state'), await start('cache')];
    await using app = await TestApp.start({ servers: { state, cache } });
    const owner = await app.caller('owner');
    await owner.put('/documents/a').send(A).expect(200);

    await cache.freeze();
    await owner.get('/documents/a').expect(503);
    await owner.put('/documents/late').send(A).expect(503);
    await cache.thaw();
    await until(async () => (await owner.get('/documents/a')).status === 200, 'the return');
    await owner.get('/documents/late').expect(404);
  });

  it('are still read while the state server is away: a hit needs the cache server alone', async () => {
    const [state, cache] = [await start('state'), await start('cache')];
    await using app = await TestApp.start({ servers: { state, cache } });
    const owner = await app.caller('owner');
    await owner.put('/documents/a').send(A).expect(200);
    await state.stop();
    await owner.get('/documents/a').expect(200);
    await owner
      .put('/documents/a')
      .send({ ...A, version: 2 })
      .expect(200);
    await owner.delete('/documents/b').expect(204);
    await owner.delete('/documents').expect(503);
    await state.restart();
  });

  it('go on after the scripts were flushed and the connections killed', async () => {
    const server = await start('single');
    await using app = await TestApp.start({ servers: { state: server } });
    const owner = await app.caller('owner');
    await app.state.script('FLUSH');
    await owner.put('/documents/a').send(A).expect(200);
    await app.state.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until(async () => (await owner.get('/documents/a')).status === 200, 'the return');
  });

  it('are refused with 507 when Redis is full, and still read and deleted', async () => {
    const server = await start('single', ['--maxmemory', '8mb']);
    await using app = await TestApp.start({ servers: { state: server } });
    const owner = await app.caller('owner');
    const large = { ...A, content: 'x'.repeat(300_000) };
    let stored = 0;
    const refusal = await until(async () => {
      const answer = await owner.put(`/documents/d${stored}`).send(large);
      if (answer.status !== 200) return answer;
      stored += 1;
      return undefined;
    }, 'a full server');
    expect(refusal.status).toBe(507);
    expect(refusal.body.code).toBe('storage_full');
    expect(stored).toBeGreaterThan(0);
    await owner.get('/documents/d0').expect(200);
    await owner.delete('/documents/d0').expect(204);
    await owner.put('/documents/small').send(A).expect(200);
    await owner.delete('/documents').expect(204);
    await owner.get('/documents/d1').expect(404);
  });
});
