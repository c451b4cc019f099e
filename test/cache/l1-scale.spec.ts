import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CacheService } from '../../src/cache/cache.service.js';
import type { ProjectId } from '../../src/common/project-id.js';
import { TestApp } from '../support/app.js';
import { coherent, kill, l1Hits, shown, startWithL1, write } from '../support/l1.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { figure, percentile, scaled } from '../support/scale.js';
import { TIMEOUT_MS } from './scale.js';

const doc = (version: number) => ({ id: 'a', title: 'A', content: '', version });

/**
 * Reads without end until the new state is shown, which may become so by itself only.
 * @returns how long after the call the old value was shown for the last time, 0 for never.
 */
async function stale(
  app: TestApp,
  projectId: ProjectId,
  old: number,
  isNew: (version?: number) => boolean,
): Promise<number> {
  const begin = performance.now();
  let last = begin;
  for (;;) {
    const at = performance.now();
    const version = await shown(app, projectId);
    if (isNew(version)) return last - begin;
    if (version === old) last = at;
    await turn();
  }
}

/** Writes a version and reads it until it is kept. */
async function keep(app: TestApp, projectId: ProjectId, version: number): Promise<void> {
  await until(() => write(app, projectId, version).catch(() => undefined), 'a write');
  await coherent(app);
  await until(async () => {
    const before = await l1Hits(app);
    await shown(app, projectId);
    return (await l1Hits(app)) > before;
  }, 'the value to be kept');
}

describe('a value that is kept in the process', () => {
  it(
    'is gone soon after anybody else has changed it',
    async () => {
      await using server = await ownRedis();
      await using app = await startWithL1({ servers: { state: server } });
      await using other = await TestApp.start({ servers: { state: server } });
      const projectId = newProject();
      const cache = other.get(CacheService);
      // Other hot keys, for which Redis tells of changes too.
      for (let i = 0; i < 200; i += 1) await write(app, projectId, 1, `d${i}`);
      const changes = {
        'a foreign SETEX': (version: number) => write(app, projectId, version + 1),
        "another process's put": (version: number) => cache.put(projectId, doc(version + 1)),
        "another process's delete": () => cache.delete(projectId, 'a'),
        "another process's invalidation": () => cache.invalidateAll(projectId),
      };
      for (const [name, change] of Object.entries(changes)) {
        const times: number[] = [];
        for (let i = 0; i < scaled(5, 300); i += 1) {
          const version = 1000 + 2 * i;
          const mark = async (): Promise<string> => (await app.cache.get(`proj:${projectId}:cache:epoch`)) ?? '';
          await until(async () => !(await mark()).startsWith('dirty'), 'the end of the sweep');
          await keep(app, projectId, version);
          for (let j = 0; j < 200; j += 1) await shown(app, projectId, `d${j}`);
          await change(version);
          times.push(await stale(app, projectId, version, (now) => now !== version));
          expect(await shown(app, projectId)).not.toBe(version);
        }
        figure(`${name}: the old value was shown afterwards for`, {
          p50: `${percentile(times, 0.5).toFixed(2)} ms`,
          p99: `${percentile(times, 0.99).toFixed(2)} ms`,
          max: `${percentile(times, 1).toFixed(2)} ms`,
        });
      }
    },
    TIMEOUT_MS,
  );

  it.each(['killed for reads', 'killed for news', 'cut', 'dumb', 'frozen', 'restarted empty'] as const)(
    'is gone soon after Redis is %s',
    async (how) => {
      await using server = await ownRedis();
      await using proxy = await TcpProxy.to(server.port);
      const servers = { state: { appUrl: proxy.through(server.appUrl), adminUrl: server.adminUrl } };
      await using app = await startWithL1({ servers });
      const projectId = newProject();
      const times: number[] = [];
      for (let i = 1; i <= scaled(1, 10); i += 1) {
        const old = 2 * i;
        await keep(app, projectId, old);
        if (how === 'killed for reads') await kill(app, 'tracked');
        if (how === 'killed for news') await kill(app, 'invalidations');
        if (how === 'dumb' || how === 'cut') proxy.swallow = true;
        if (how === 'cut') proxy.cut();
        if (how === 'frozen') await server.freeze();
        if (how === 'restarted empty') await server.restart({ empty: true });
        const written = write(app, projectId, old + 1).catch(() => undefined);
        times.push(
          await stale(app, projectId, old, (now) => now !== old && (how.startsWith('killed') ? now === old + 1 : true)),
        );
        proxy.swallow = false;
        if (how === 'frozen') await server.thaw();
        if (how === 'dumb') proxy.cut();
        await written;
        for (let j = 0; j < 20; j += 1) expect(await shown(app, projectId)).not.toBe(old);
      }
      figure(`Redis is ${how}: the old value was shown afterwards for at most`, {
        ms: percentile(times, 1).toFixed(2),
      });
    },
    TIMEOUT_MS,
  );
});
