import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET, newProject } from '../support/projects.js';
import { figure, scaled } from '../support/scale.js';
import { TIMEOUT_MS } from './scale.js';

const LARGE = 262_144;

it.each([
  ['plain', '0'],
  ['gzip', '2048'],
] as const)(
  'documents and entries of 256 KiB, stored %s, are written, loaded and read beside the event loop',
  async (how, compressFrom) => {
    // Of the test's own: the servers of the run repeat every byte to who watches them.
    await using redis = await ownRedis();
    const child = fork(join(import.meta.dirname, 'large-values-process.mjs'), {
      env: {
        PATH: process.env['PATH'],
        LOG_LEVEL: 'fatal',
        PORT: '0',
        AUTH_JWT_SECRET: JWT_SECRET,
        REDIS_URL: redis.appUrl,
        CACHE_COMPRESS_MIN_BYTES: compressFrom,
      },
    });
    const message = async (): Promise<unknown> => {
      const ended = once(child, 'exit').then(() => [new Error('the process ended')]);
      const [said] = (await Promise.race([once(child, 'message'), ended])) as [unknown];
      if (said instanceof Error) throw said;
      return said;
    };
    try {
      await message();
      const perSecond = scaled(10, 50);
      const seconds = scaled(1, 20);
      for (const bytes of [1024, LARGE]) {
        child.send({ projectId: newProject(), perSecond, seconds, bytes });
        const said = (await message()) as { right: number; p50: number; p99: number; max: number };
        expect(said.right).toBe(perSecond * seconds);
        figure(`${perSecond} documents and as many entries of ${bytes} bytes a second, ${how}`, {
          'event-loop delay p50': `${said.p50} ms`,
          p99: `${said.p99} ms`,
          max: `${said.max} ms`,
        });
      }
    } finally {
      child.kill('SIGKILL');
    }
  },
  TIMEOUT_MS,
);
