import type { ProjectId } from '../../../src/common/project-id.js';
import { LockKeys } from '../../../src/lock/lock.keys.js';
import { acquireLock, beatForWaiters, extendLock, releaseLock, LockScripts } from '../../../src/lock/lock.scripts.js';
import { LockService } from '../../../src/lock/lock.service.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

function keysOf(app: TestApp, projectId: ProjectId): Record<'lock' | 'fence' | 'queue', string> {
  const keys = app.get(LockKeys);
  return { lock: keys.lock(projectId, 'a'), fence: keys.fence(projectId, 'a'), queue: keys.queue(projectId, 'a') };
}

export const examples: ScriptExample[] = [
  example(acquireLock, {
    prepare: async (app, projectId) => ({
      keys: keysOf(app, projectId),
      args: { token: 'token', ttl_ms: 5000, wait: 1 },
    }),
  }),
  example(beatForWaiters, {
    prepare: async (app, projectId) => ({
      keys: { locks: [keysOf(app, projectId).lock] },
      args: { waiters: ['token', '1000'] },
    }),
  }),
  example(extendLock, {
    prepare: async (app, projectId) => {
      const { token } = await app.get(LockService).acquire(projectId, 'a', { ttlMs: 5000 });
      return { keys: { lock: app.get(LockKeys).lock(projectId, 'a') }, args: { token, ttl_ms: 9000 } };
    },
  }),
  example(releaseLock, {
    // Only its being there counts.
    tolerates: ['released'],
    prepare: async (app, projectId) => {
      const { token } = await app.get(LockService).acquire(projectId, 'a', { ttlMs: 5000 });
      // One who waits, so that every key is in use.
      await app.get(LockScripts).acquire(projectId, 'a', 'another', 5000, true);
      return {
        keys: { ...keysOf(app, projectId), released: app.get(LockKeys).released(projectId, 'a', token) },
        args: { token },
      };
    },
  }),
];
