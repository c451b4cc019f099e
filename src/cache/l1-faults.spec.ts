import { describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { coherent, heardAll, kill, l1Hits, shown, startWithL1, write } from '../../test/support/l1.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { TcpProxy } from '../../test/support/tcp-proxy.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';
import { RedisConnections } from '../redis/redis-connections.js';
import { RedisTracking } from '../redis/redis-tracking.js';

/** Reads until the process answers by itself. */
async function kept(app: TestApp, projectId: ProjectId, version: number): Promise<void> {
  await coherent(app);
  await until(async () => {
    const before = await l1Hits(app);
    expect([version, undefined]).toContain(await shown(app, projectId));
    return (await l1Hits(app)) > before;
  }, 'the value to be kept');
}

/** Reads until the new state is shown; from then on the old one never is, also when values are kept again. */
async function shows(app: TestApp, projectId: ProjectId, version: number): Promise<void> {
  await until(async () => (await shown(app, projectId)) === version, `version ${version}`);
  await kept(app, projectId, version);
}

describe('values that are kept in the process are forgotten', () => {
  it.each(['tracked', 'invalidations'])('when the connection for %s is killed', async (name) => {
    await using server = await ownRedis();
    await using app = await startWithL1({ servers: { state: server } });
    const projectId = newProject();
    for (const version of [1, 3, 5]) {
      await write(app, projectId, version);
      await shows(app, projectId, version);
      await kill(app, name);
      await write(app, projectId, version + 1);
      await shows(app, projectId, version + 1);
    }
  });

  it.each(['cut', 'dumb'] as const)('when the network is %s', async (how) => {
    await using server = await ownRedis();
    await using proxy = await TcpProxy.to(server.port);
    const servers = { state: { appUrl: proxy.through(server.appUrl), adminUrl: server.adminUrl } };
    await using app = await startWithL1({ servers });
    const projectId = newProject();
    await write(app, projectId, 1);
    await shows(app, projectId, 1);
    proxy.swallow = true;
    if (how === 'cut') proxy.cut();
    await write(app, projectId, 2);
    await until(async () => (await shown(app, projectId)) === undefined, 'the old value to go');
    proxy.swallow = false;
    proxy.cut();
    await shows(app, projectId, 2);
  });

  it('when Redis is restarted empty, and when it is flushed', async () => {
    await using server = await ownRedis();
    await using app = await startWithL1({ servers: { state: server } });
    const projectId = newProject();
    await write(app, projectId, 1);
    await shows(app, projectId, 1);
    await server.restart({ empty: true });
    await until(async () => (await shown(app, projectId)) === 0, 'the old value to go');
    await coherent(app);
    expect(await shown(app, projectId)).toBe(0);

    await until(() => write(app, projectId, 2).catch(() => undefined), 'a write');
    await shows(app, projectId, 2);
    await app.cache.flushall();
    await heardAll(app);
    expect(await shown(app, projectId)).toBe(0);
  });

  it('when Redis is frozen, and it is not what changed meanwhile that is shown afterwards', async () => {
    await using server = await ownRedis();
    await using app = await startWithL1({ servers: { state: server } });
    const projectId = newProject();
    await write(app, projectId, 1);
    await shows(app, projectId, 1);
    await server.freeze();
    await until(async () => (await shown(app, projectId)) === undefined, 'the old value to go');
    const writing = write(app, projectId, 2);
    await server.thaw();
    await writing;
    await shows(app, projectId, 2);
  });

  it('when Redis no longer tracks, unasked', async () => {
    await using server = await ownRedis();
    await using app = await startWithL1({ servers: { state: server } });
    const projectId = newProject();
    await write(app, projectId, 1);
    await shows(app, projectId, 1);
    await app.get(RedisConnections).tracked!.reads.client('TRACKING', 'OFF');
    await write(app, projectId, 2);
    await shows(app, projectId, 2);
  });

  it('when Redis has no room to track their keys', async () => {
    await using server = await ownRedis();
    await using app = await startWithL1({ servers: { state: server } });
    const projectId = newProject();
    await app.cache.config('SET', 'tracking-table-max-keys', '5');
    const ids = Array.from({ length: 50 }, (_, i) => `d${i}`);
    for (const version of [1, 2, 3]) {
      for (const id of ids) await write(app, projectId, version, id);
      await heardAll(app);
      for (const id of ids) expect(await shown(app, projectId, id)).toBe(version);
      for (const id of ids) expect(await shown(app, projectId, id)).toBe(version);
    }
  });
});

it('nothing is kept where the user may not hear invalidations', async () => {
  await using server = await ownRedis('state');
  await using app = await TestApp.start({ servers: { state: server }, env: { CACHE_L1: 'on' } });
  const projectId = newProject();
  for (const version of [1, 2]) {
    await write(app, projectId, version);
    expect(await shown(app, projectId)).toBe(version);
  }
  await expect(app.get(RedisTracking).prove()).rejects.toThrow('not tracking');
  expect(await l1Hits(app)).toBe(0);
});
