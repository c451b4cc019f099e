import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisRole, type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';

const project = `proj:${randomUUID()}`;
const key = `${project}:doc:a`;

describe.each(['state', 'cache', 'single'] satisfies RedisRole[])("the product's user on a %s server", (role) => {
  let dir: string;
  let server: RedisServer;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'users-acl-'));
    server = await startRedis({ role, dir, passwords: { admin: 'admin', app: 'app' } });
  });
  afterAll(async () => {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** The answer to one command on a connection of its own: a subscription or a change of protocol ends with it. */
  async function answer(...command: string[]): Promise<string> {
    const client = new Redis(server.appUrl, { protocol: 2, enableReadyCheck: false, retryStrategy: () => null });
    const [name, ...args] = command as [string, ...string[]];
    try {
      if (name === 'PSUBSCRIBE') return String(await client.psubscribe(...args));
      if (name === 'SUBSCRIBE') return String(await client.subscribe(...args));
      return String(await client.call(name, args));
    } catch (error) {
      return (error as Error).message;
    } finally {
      client.disconnect();
    }
  }

  it.each([
    ['HELLO', '2', 'AUTH', 'api', 'app'],
    ['AUTH', 'api', 'app'],
    ['PING'],
    ['INFO', 'server'],
    ['TIME'],
    ['EVAL', 'return redis.call("SET", KEYS[1], ARGV[1])', '1', key, 'value'],
    ['SCRIPT', 'LOAD', 'return 1'],
    ['SCAN', '0', 'MATCH', `${project}:*`],
    ['SUBSCRIBE', `${project}:progress`],
    ['PSUBSCRIBE', 'proj:*:queue:*:wake'],
    ['PUBLISH', `${project}:progress`, '{}'],
    ['CLIENT', 'ID'],
    ['CLIENT', 'SETNAME', 'name'],
    ['CLIENT', 'TRACKING', 'ON', 'NOLOOP'],
  ])('may %s %s %s', async (...command) => {
    // Redis 7.2 first knows SETINFO; on 7.0 the right to it cannot be seen.
    expect(await answer(...command)).not.toMatch(/^(NOPERM|ERR|WRONGPASS|NOAUTH)/);
  });

  it.each([
    ['FLUSHALL'],
    ['FLUSHDB'],
    ['KEYS', `${project}:*`],
    ['CONFIG', 'GET', 'maxmemory'],
    ['SELECT', '1'],
    ['ACL', 'LIST'],
    ['CLIENT', 'LIST'],
    ['CLIENT', 'KILL', 'ID', '1'],
    ['MONITOR'],
    ['SHUTDOWN'],
    ['DEBUG', 'SLEEP', '0'],
    ['SLOWLOG', 'GET'],
    ['RESTORE', key, '0', 'x'],
    ['GET', 'doc:a'],
    ['SET', 'project:x', '1'],
    ['EVAL', 'return redis.call("GET", KEYS[1])', '1', 'doc:a'],
    ['EVAL', 'return redis.call("GET", "doc:a")', '0'],
    ['PUBLISH', 'progress', '{}'],
    ['SUBSCRIBE', 'progress'],
    ['PSUBSCRIBE', '*'],
  ])('may not %s %s %s', async (...command) => {
    expect(await answer(...command)).toMatch(/NOPERM|not allowed|can't access/);
  });

  it('hears invalidations where documents stand, and nowhere else', async () => {
    const heard = await answer('SUBSCRIBE', '__redis__:invalidate');
    expect(heard).toMatch(role === 'state' ? /NOPERM/ : /^1$/);
  });
});
