import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startRedis } from '../../scripts/lib/redis-server.mjs';
import { CommandWatch } from './command-watch.js';

/** The Redis servers of the whole run: the production shape, with the product's own configuration and restricted user. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'document-api-test-'));
  const passwords = { admin: 'admin-of-the-tests', app: 'app-of-the-tests' };
  const state = await startRedis({ role: 'state', dir: join(dir, 'state'), passwords });
  const cache = await startRedis({ role: 'cache', dir: join(dir, 'cache'), passwords });
  project.provide('redis', {
    stateUrl: state.appUrl,
    stateAdminUrl: state.adminUrl,
    cacheUrl: cache.appUrl,
    cacheAdminUrl: cache.adminUrl,
  });
  const watch = await CommandWatch.on([state, cache]);

  return async () => {
    const breaches = await watch.stop();
    await Promise.all([state.stop(), cache.stop()]);
    await rm(dir, { recursive: true, force: true });
    // The isolation law over everything that the suite made the product do.
    if (breaches.length > 0)
      throw new Error(`keys or channels outside proj:<uuid>:\n${breaches.slice(0, 20).join('\n')}`);
  };
}

declare module 'vitest' {
  interface ProvidedContext {
    redis: { stateUrl: string; stateAdminUrl: string; cacheUrl: string; cacheAdminUrl: string };
  }
}
