import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';

/** Another program on the same Redis: plain commands and text, and no code of the product. */
export interface Foreign {
  readonly name: string;
  put(
    url: string,
    project: string,
    doc: { id: string; title: string; content: string; version: number },
  ): Promise<void>;
  get(url: string, project: string, docId: string): Promise<unknown>;
  push(url: string, project: string, docId: string, chunks: string[]): Promise<void>;
  pop(url: string, project: string): Promise<unknown>;
  publish(url: string, project: string, type: string, message: string): Promise<void>;
  /** @returns, once it listens, the promise of the next event. */
  listen(url: string, project: string): Promise<{ next: Promise<unknown> }>;
}

async function using<T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

const plainClient: Foreign = {
  name: 'plain commands',
  put: (url, p, { id, title, content, version }) =>
    using(
      url,
      async (redis) =>
        void (await redis.setex(`proj:${p}:doc:${id}`, 3600, JSON.stringify({ id, title, content, version }))),
    ),
  get: (url, p, id) => using(url, async (redis) => JSON.parse((await redis.get(`proj:${p}:doc:${id}`)) ?? 'null')),
  push: (url, p, id, chunks) =>
    using(
      url,
      async (redis) =>
        void (await redis.rpush(`proj:${p}:queue:embeddings`, JSON.stringify({ project_id: p, doc_id: id, chunks }))),
    ),
  pop: (url, p) => using(url, async (redis) => JSON.parse((await redis.lpop(`proj:${p}:queue:embeddings`)) ?? 'null')),
  publish: (url, p, type, message) =>
    using(
      url,
      async (redis) => void (await redis.publish(`proj:${p}:progress`, JSON.stringify({ type, data: { message } }))),
    ),
  async listen(url, p) {
    const redis = new Redis(url);
    const next = once(redis, 'message').then(([, message]) => {
      redis.disconnect();
      return JSON.parse(message as string) as unknown;
    });
    await redis.subscribe(`proj:${p}:progress`);
    return { next };
  },
};

const script = join(import.meta.dirname, '../../examples/python/shared_redis.py');
const run = promisify(execFile);

function pythonClient(python: string): Foreign {
  const call = async (...args: string[]): Promise<string> => (await run(python, [script, ...args])).stdout.trim();
  return {
    name: 'a Python program',
    put: async (url, p, { id, title, content, version }) =>
      void (await call('put', url, p, id, title, content, String(version))),
    get: async (url, p, id) => JSON.parse(await call('get', url, p, id)) as unknown,
    push: async (url, p, id, chunks) => void (await call('push', url, p, id, ...chunks)),
    pop: async (url, p) => JSON.parse(await call('pop', url, p)) as unknown,
    publish: async (url, p, type, message) => void (await call('publish', url, p, type, message)),
    async listen(url, p) {
      const child = spawn(python, [script, 'listen', url, p], { stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await once(child.stdout, 'data');
      return { next: once(child, 'exit').then(() => JSON.parse(text.replace('listening\n', '')) as unknown) };
    },
  };
}

function pythonWithRedis(): string | undefined {
  return ['python3', '/usr/bin/python3'].find((python) => {
    try {
      execFileSync(python, ['-I', '-c', 'from redis import Redis'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
}

const python = pythonWithRedis();

/** The same steps by a plain client always, and by a real Python program too on a machine that has `redis` for Python. */
export const FOREIGN_PROGRAMS: readonly Foreign[] = python ? [plainClient, pythonClient(python)] : [plainClient];
