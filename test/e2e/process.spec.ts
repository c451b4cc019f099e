import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { MainProcess } from '../support/main-process.js';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET, newProject, tokenFor } from '../support/projects.js';
import { until } from '../support/until.js';

const AUTH = { AUTH_JWT_SECRET: JWT_SECRET };

/** A port of 127.0.0.1 on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function send(method: string, url: string, token: string, body?: object): Promise<Response> {
  return fetch(url, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { 'Content-Type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}

describe.concurrent('the start', () => {
  /** Exit code and the lines on standard error. */
  async function failure(env: Record<string, string>): Promise<{ code: unknown; lines: string[]; all: string }> {
    await using main = new MainProcess(env);
    const code = await main.exited;
    return { code, lines: main.stderr.trimEnd().split('\n'), all: main.stdout + main.stderr };
  }

  it.each([
    ['REDIS_URL', { ...AUTH }],
    ['AUTH_JWT_SECRET', { REDIS_URL: 'redis://127.0.0.1:1' }],
    ['AUTH_JWT_SECRET', { REDIS_URL: 'redis://127.0.0.1:1', AUTH_JWT_SECRET: 'a-short-secret' }],
    ['REDIS_URL', { ...AUTH, REDIS_URL: 'redis://user:a-bad-%zz-secret@127.0.0.1:1' }],
    ['PORT', { ...AUTH, REDIS_URL: 'redis://127.0.0.1:1', PORT: 'http' }],
  ])('stops with one line that names %s when it is missing or wrong', async (name, env) => {
    const { code, lines, all } = await failure(env as Record<string, string>);
    expect(code).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^${name} `));
    expect(all).not.toMatch(/-secret|127\.0\.0\.1/);
  });

  it('stops with one line when Redis refuses the password', async () => {
    await using redis = await ownRedis();
    const wrong = redis.appUrl.replace('app-of-the-test', 'a-wrong-secret');
    const { code, lines, all } = await failure({ ...AUTH, REDIS_URL: wrong });
    expect([code, lines]).toEqual([1, ['REDIS_URL: Redis refuses the user or the password.']]);
    expect(all).not.toMatch(/a-wrong-secret|127\.0\.0\.1/);
    const cache = await failure({ ...AUTH, REDIS_URL: redis.appUrl, REDIS_CACHE_URL: wrong });
    expect(cache.lines).toEqual(['REDIS_CACHE_URL: Redis refuses the user or the password.']);
  });

  it('stops with one line when nobody answers as Redis', async () => {
    const url = `redis://api:a-secret@127.0.0.1:${await closedPort()}`;
    const { code, lines, all } = await failure({ ...AUTH, REDIS_URL: url });
    expect([code, lines]).toEqual([1, ['REDIS_URL: Redis does not answer within 10 s (ECONNREFUSED).']]);
    expect(all).not.toMatch(/a-secret|127\.0\.0\.1/);
  });

  it('stops with one line when its port is in use', async () => {
    await using redis = await ownRedis();
    const { code, lines } = await failure({ ...AUTH, REDIS_URL: redis.appUrl, PORT: String(redis.port) });
    expect([code, lines]).toEqual([1, [`PORT: ${redis.port} is already in use.`]]);
  });

  it('refuses a state server that may evict in production, unless it is told to accept it', async () => {
    await using redis = await ownRedis('cache');
    const env = { ...AUTH, REDIS_URL: redis.appUrl, NODE_ENV: 'production' };
    const { code, lines } = await failure(env);
    expect([code, lines.length]).toEqual([1, 1]);
    expect(lines[0]).toMatch(/^REDIS_URL: .*maxmemory-policy allkeys-lru/);
    await using main = new MainProcess({ ...env, REDIS_ALLOW_EVICTION: 'true' });
    expect((await fetch(`${await main.url()}/health/live`)).status).toBe(200);
  });
});

describe.concurrent('the end', () => {
  it('answers what waits, lets the rest finish, and exits with 0', async () => {
    await using redis = await ownRedis();
    await using main = new MainProcess({ ...AUTH, REDIS_URL: redis.appUrl });
    const projectId = newProject();
    const token = await tokenFor(projectId);
    const lock = `${await main.url()}/v1/projects/${projectId}/locks/a`;
    expect((await send('POST', lock, token, { ttl_ms: 60_000 })).status).toBe(201);
    const waiting = send('POST', lock, token, { ttl_ms: 60_000, wait_ms: 30_000 });
    const admin = new Redis(redis.adminUrl, { protocol: 2 });
    const channels = (): Promise<unknown[]> => admin.pubsub('CHANNELS', `proj:${projectId}:*`) as Promise<unknown[]>;
    await until(async () => (await channels()).length > 0, 'a waiter that listens');
    admin.disconnect();

    // Connected, and never sends its request: nothing that would ever finish.
    const mute = connect(Number(new URL(lock).port), '127.0.0.1');
    await once(mute, 'connect');

    main.signal('SIGTERM');
    expect((await waiting).status).toBe(423);
    expect(await main.exited).toBe(0);
    mute.destroy();
    expect(main.stderr).toBe('');
    expect(main.log.at(-1)).toMatchObject({ level: 'log' });
  });

  it.each(['frozen', 'gone'])('exits with 0 while Redis is %s', async (how) => {
    await using redis = await ownRedis();
    await using main = new MainProcess({ ...AUTH, REDIS_URL: redis.appUrl });
    const url = await main.url();
    await (how === 'frozen' ? redis.freeze() : redis.kill());
    const projectId = newProject();
    const lock = `${url}/v1/projects/${projectId}/locks/a`;
    expect((await send('POST', lock, await tokenFor(projectId), { ttl_ms: 500 })).status).toBe(503);
    main.signal('SIGTERM');
    expect(await main.exited).toBe(0);
    expect(main.stderr).toBe('');
  });
});

describe.concurrent('the process', () => {
  it('lives through Redis being killed and started again, without a word on standard error', async () => {
    await using redis = await ownRedis();
    await using main = new MainProcess({ ...AUTH, REDIS_URL: redis.appUrl });
    const projectId = newProject();
    const token = await tokenFor(projectId);
    const lock = `${await main.url()}/v1/projects/${projectId}/locks/a`;
    const attempt = async (): Promise<number> => (await send('POST', lock, token, { ttl_ms: 100 })).status;
    expect(await attempt()).toBe(201);
    const during = Promise.all(Array.from({ length: 50 }, attempt));
    await redis.kill();
    for (const status of await during) expect([201, 423, 503]).toContain(status);
    expect(await attempt()).toBe(503);
    await redis.restart();
    await until(async () => (await attempt()) === 201, 'a lock');
    expect(main.stderr).toBe('');
    // The connection's trouble was logged, and not where it leads.
    expect(main.stdout).toContain('state: back');
    expect(main.stdout).not.toContain(String(redis.port));
  });

  it('logs one JSON line a request, with its project, and never a credential', async () => {
    await using redis = await ownRedis();
    await using main = new MainProcess({
      ...AUTH,
      REDIS_URL: redis.appUrl,
      LOG_LEVEL: 'debug',
      METRICS_TOKEN: 'metrics-token-0123',
    });
    const url = await main.url();
    const projectId = newProject();
    const token = await tokenFor(projectId);
    const base = `${url}/v1/projects/${projectId}`;
    const { token: lockToken } = (await (await send('POST', `${base}/locks/a`, token, { ttl_ms: 60_000 })).json()) as {
      token: string;
    };
    await fetch(`${base}/locks/a`, {
      method: 'DELETE',
      headers: { Authorization: `Bearer ${token}`, 'Lock-Token': lockToken },
    });
    await fetch(`${base}/stats?ticket=a-secret-ticket`, { headers: { Cookie: 'session=a-secret-session' } });
    await fetch(`${base}/stats`, { headers: { Authorization: `Bearer ${token}x` } });
    await fetch(`${url}/metrics`, { headers: { Authorization: 'Bearer metrics-token-0123' } });

    const requests = await until(() => {
      const lines = main.log.flatMap(({ message }) =>
        (message as { msg?: string }).msg === 'request' ? [message] : [],
      );
      return lines.length === 5 ? (lines as Record<string, unknown>[]) : undefined;
    }, 'five lines');
    expect(requests.map(({ method, path, status }) => [method, path, status])).toEqual([
      ['POST', `/v1/projects/${projectId}/locks/a`, 201],
      ['DELETE', `/v1/projects/${projectId}/locks/a`, 204],
      ['GET', `/v1/projects/${projectId}/stats`, 401],
      ['GET', `/v1/projects/${projectId}/stats`, 401],
      ['GET', '/metrics', 200],
    ]);
    expect(requests.slice(0, 2).map((line) => line['project_id'])).toEqual([projectId, projectId]);
    expect(requests.every((line) => typeof line['request_id'] === 'string')).toBe(true);
    for (const secret of [token, lockToken, 'secret', 'metrics-token', 'app-of-the-test', JWT_SECRET]) {
      expect(main.stdout).not.toContain(secret);
    }
  });
});
