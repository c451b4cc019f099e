import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { ProgressService } from '../../src/progress/progress.service.js';
import { TestApp } from '../support/app.js';
import { MainProcess } from '../support/main-process.js';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET } from '../support/projects.js';
import { SseClient } from '../support/sse-client.js';
import { until } from '../support/until.js';
import { scaled } from '../support/scale.js';

const STREAMS = scaled(100, 500);

describe(`a process with ${STREAMS} streams that is told to stop`, () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  it(
    'ends them cleanly and spread, waits for no reader that is stuck, and exits within 10 s',
    { timeout: 120_000 },
    async () => {
      const redis = await ownRedis();
      cleanups.push(() => redis[Symbol.asyncDispose]());
      const server = new MainProcess({ REDIS_URL: redis.appUrl, AUTH_JWT_SECRET: JWT_SECRET });
      cleanups.push(() => server[Symbol.asyncDispose]());
      const app = await TestApp.start({ servers: { state: redis } });
      cleanups.push(() => app.close());
      const viewer = await app.caller('viewer');
      const url = `${await server.url()}${viewer.base}/progress`;
      const open = async (query = ''): Promise<SseClient> => {
        const client = await SseClient.open(`${url}${query}`, { token: viewer.token });
        cleanups.push(() => client.cut());
        await client.until('$snapshot');
        return client;
      };
      const clients = await Promise.all(Array.from({ length: STREAMS }, () => open('?operation_id=job')));
      const stuck = await open();
      stuck.pause();
      const say = (data: object, operation_id?: string) => {
        const idempotencyKey = randomUUID();
        const event = { type: 'step', data, operation_id };
        return until(
          () =>
            app
              .get(ProgressService)
              .publish(viewer.projectId as ProjectId, event, { idempotencyKey })
              .catch(() => undefined),
          'Redis to take an event',
        );
      };
      // More than the sockets hold by themselves, and only for the one that is stuck.
      const x = 'x'.repeat(60_000);
      for (let i = 0; i < 120; i += 1) await say({ x });
      const { id } = await say({ done: 1 }, 'job');
      for (const client of clients) await until(() => client.lastEventId === id, 'all events', 60_000);

      server.signal('SIGTERM');
      let exited = false;
      void server.exited.then(() => (exited = true));
      await until(() => exited, 'the process to exit', 10_000);
      for (const client of clients) {
        await until(() => client.ended, 'a clean end');
        expect(client.comments.at(-1)).toBe('shutting down');
        expect(client.lastEventId).toBe(id);
      }
      const retries = clients.map(({ retry }) => retry!);
      expect(Math.max(...retries) - Math.min(...retries)).toBeGreaterThan(2000);
    },
  );
});
