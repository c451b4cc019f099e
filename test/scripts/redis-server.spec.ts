import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServerOptions, type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { until } from '../support/until.js';

const passwords = { admin: 'admin "with" signs & spaces', app: 'app' };
const key = `proj:${randomUUID()}:doc:a`;

let dir: string;
let cleanUp: (() => Promise<unknown> | void)[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'redis-server-'));
  cleanUp = [() => rm(dir, { recursive: true, force: true })];
});
afterEach(async () => {
  for (const step of cleanUp.toReversed()) await step();
});

async function start(options: Partial<RedisServerOptions> = {}): Promise<RedisServer> {
  const server = await startRedis({ role: 'single', dir, passwords, ...options });
  cleanUp.push(() => server.stop());
  return server;
}

function connect(url: string): Redis {
  const client = new Redis(url, { protocol: 2, retryStrategy: () => 20 });
  client.on('error', () => undefined);
  cleanUp.push(() => client.disconnect());
  return client;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

describe('a server of the product', () => {
  it.each([
    ['state', { policy: 'noeviction', appendonly: 'yes' }],
    ['cache', { policy: 'allkeys-lru', appendonly: 'no' }],
    ['single', { policy: 'noeviction', appendonly: 'yes' }],
  ] as const)('has the configuration of its role: %s', async (role, { policy, appendonly }) => {
    const admin = connect((await start({ role })).adminUrl);
    const setting = async (name: string): Promise<unknown> => ((await admin.config('GET', name)) as string[])[1];
    expect(await setting('maxmemory-policy')).toBe(policy);
    expect(await setting('appendonly')).toBe(appendonly);
    expect(await setting('bind')).toBe('127.0.0.1');
    expect(await setting('timeout')).toBe('0');
    expect(Number(await setting('maxmemory'))).toBeGreaterThan(0);
  });

  it('keeps its data through a restart on the same port', async () => {
    const server = await start();
    const { port, pid } = server;
    const client = connect(server.appUrl);
    await client.set(key, 'kept');
    await server.restart();
    expect(server.port).toBe(port);
    expect(server.pid).not.toBe(pid);
    expect(await client.get(key)).toBe('kept');
  });

  it('keeps its data when it is killed', async () => {
    const server = await start();
    const client = connect(server.appUrl);
    await client.set(key, 'kept');
    await server.kill();
    await server.restart();
    expect(await client.get(key)).toBe('kept');
  });

  it('comes back empty when asked to', async () => {
    const server = await start();
    const client = connect(server.appUrl);
    await client.set(key, 'gone');
    await server.restart({ empty: true });
    expect(await client.get(key)).toBeNull();
  });

  it('answers nothing while it is frozen, and everything afterwards', async () => {
    const server = await start();
    const client = connect(server.appUrl);
    await client.ping();
    await server.freeze();
    const answers: string[] = [];
    const pending = client.ping().then(() => answers.push('late'));
    // Time for an answer that must not come: another process, started now, has run to its end.
    await once(spawn(process.execPath, ['-e', '']), 'exit');
    expect(answers).toEqual([]);
    await server.thaw();
    await pending;
  });

  it('can be stopped while it is frozen', async () => {
    const server = await start();
    const { pid } = server;
    await server.freeze();
    await server.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('dies with a parent that was killed', async () => {
    const script = pathToFileURL(join(import.meta.dirname, '../../scripts/lib/redis-server.mjs')).href;
    const options = JSON.stringify({ role: 'single', dir, passwords });
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { startRedis } = await import(${JSON.stringify(script)});
         const server = await startRedis(${options});
         console.log(server.port);
         setInterval(() => {}, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [port] = (await once(createInterface(parent.stdout), 'line')) as [string];
    expect(await listens(Number(port))).toBe(true);
    parent.kill('SIGKILL');
    await until(async () => !(await listens(Number(port))), 'the end of the server');
  });
});

describe('a port in use', () => {
  it('is refused in one sentence', async () => {
    const stranger = net.createServer().listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    cleanUp.push(() => void stranger.close());
    const { port } = stranger.address() as net.AddressInfo;
    await expect(start({ port, replace: true })).rejects.toThrow(`Port ${port} on 127.0.0.1 is in use`);
  });

  it("is not taken from a stranger's Redis", async () => {
    const stranger = await start();
    const other = { port: stranger.port, dir: join(dir, 'other'), replace: true };
    await expect(start(other)).rejects.toThrow(`Port ${stranger.port} on 127.0.0.1 is in use`);
    await expect(start({ ...other, passwords: { admin: 'other', app: 'other' } })).rejects.toThrow('is in use');
    expect(isAlive(stranger.pid)).toBe(true);
  });

  it('is taken back from a server that an earlier start left behind, with its data', async () => {
    const orphan = await start();
    const { pid, port } = orphan;
    const client = connect(orphan.appUrl);
    await client.set(key, 'kept');
    const server = await start({ port, replace: true });
    await orphan.exited;
    expect(isAlive(pid)).toBe(false);
    expect(server.port).toBe(port);
    expect(await client.get(key)).toBe('kept');
  });
});
