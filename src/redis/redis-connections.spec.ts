import { describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { LockService } from '../lock/lock.service.js';
import { RedisConnections } from './redis-connections.js';
import { RedisGateway } from './redis-gateway.js';
import { RedisSubscriber } from './redis-subscriber.js';

/** The product's connections to a server, by name. */
async function connections(admin: TestApp['state']): Promise<string[]> {
  const list = String(await admin.client('LIST'));
  return [...list.matchAll(/ name=document-api:(\w+) /g)].map(([, name]) => name!).sort();
}

describe('the connections of a process', () => {
  it('are constant, whatever the number of projects, subscriptions and waiting calls', async () => {
    await using state = await ownRedis('state');
    await using cache = await ownRedis('cache');
    await using app = await TestApp.start({ servers: { state, cache } });
    const locks = app.get(LockService);
    const projects = Array.from({ length: 100 }, () => newProject());
    await Promise.all(projects.map((projectId) => locks.acquire(projectId, 'a', { ttlMs: 60_000 })));
    const waiting = projects.map((projectId) => {
      const stop = new AbortController();
      const acquired = locks.acquire(projectId, 'a', { ttlMs: 1000, waitMs: 30_000, signal: stop.signal });
      return { stop, ended: acquired.catch(() => undefined) };
    });
    await until(() => app.get(RedisSubscriber).channelCount === projects.length, 'all waiting');
    expect(await connections(app.state)).toEqual(['state', 'subscriber']);
    expect(await connections(app.cache)).toEqual(['cache']);
    for (const { stop } of waiting) stop.abort();
    await Promise.all(waiting.map(({ ended }) => ended));
  });

  it('are two where one server does everything', async () => {
    await using redis = await ownRedis('single');
    await using app = await TestApp.start({ servers: { state: redis } });
    expect(await connections(app.state)).toEqual(['state', 'subscriber']);
  });

  it('are two more to the server with the documents where values are kept in the process', async () => {
    await using state = await ownRedis('state');
    await using cache = await ownRedis('cache');
    await using app = await TestApp.start({ servers: { state, cache }, env: { CACHE_L1: 'on' } });
    expect(await connections(app.state)).toEqual(['state', 'subscriber']);
    expect(await connections(app.cache)).toEqual(['cache', 'invalidations', 'tracked']);
  });

  it.each(['state', 'cache', 'subscriber'] as const)('come back when the one for %s is killed', async (role) => {
    await using state = await ownRedis('state');
    await using cache = await ownRedis('cache');
    await using app = await TestApp.start({ servers: { state, cache } });
    const admin = role === 'cache' ? app.cache : app.state;
    const client = app.get(RedisConnections)[role];
    const back = new Promise<void>((resolve) => client.once('ready', () => resolve()));

    const line = String(await admin.client('LIST'))
      .split('\n')
      .find((candidate) => candidate.includes(`name=document-api:${role} `));
    await admin.client('KILL', 'ID', /^id=(\d+)/.exec(line ?? '')![1]!);
    await back;

    const gateway = app.get(RedisGateway);
    for (const each of ['state', 'cache'] as const) {
      await until(
        () =>
          gateway
            .call(each, 'test.time', (connection) => connection.time())
            .then(
              () => true,
              () => false,
            ),
        `a call on ${each}`,
      );
    }
    const heard = new Promise<string>((resolve) => {
      void app
        .get(RedisSubscriber)
        .subscribe(app.keys.key(newProject(), 'x'), resolve)
        .then(async (leave) => {
          leave();
          resolve('subscribed');
        });
    });
    expect(await heard).toBe('subscribed');
  });
});
