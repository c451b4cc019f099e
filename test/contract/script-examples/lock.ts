import type { ProjectId } from '../../../src/common/project-id.js';
import { LockKeys } from '../../../src/lock/lock.keys.js';
import { acquireLock, beatForWaiters, extendLock, releaseLock, LockScripts } from '../../../src/lock/lock.scripts.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

const OWNER = 'owner';

const take = (app: TestApp, projectId: ProjectId, owner: string) =>
  app.get(LockScripts).acquire(projectId, 'a', owner, 5000, true);

export const examples: ScriptExample[] = [
  example(acquireLock, {
    prepare: async (app, projectId) => ({
      keys: app.get(LockKeys).toAcquire(projectId, 'a'),
      args: { owner: OWNER, ttl_ms: 5000, wait: 1 },
    }),
  }),
  example(beatForWaiters, {
    prepare: async (app, projectId) => ({
      keys: { locks: [app.get(LockKeys).lock(projectId, 'a')] },
      args: { waiters: [OWNER, '1000'] },
    }),
  }),
  example(extendLock, {
    prepare: async (app, projectId) => {
      await take(app, projectId, OWNER);
      return { keys: { lock: app.get(LockKeys).lock(projectId, 'a') }, args: { owner: OWNER, ttl_ms: 9000 } };
    },
  }),
  example(releaseLock, {
    // Only its being there counts.
    tolerates: ['released'],
    prepare: async (app, projectId) => {
      await take(app, projectId, OWNER);
      // One who waits, so that every key is in use.
      await take(app, projectId, 'another');
      return {
        keys: app.get(LockKeys).toRelease(projectId, 'a', OWNER),
        args: { owner: OWNER },
      };
    },
  }),
];
