import { LockKeys } from '../../../src/lock/lock.keys.js';
import { acquireLock, extendLock, releaseLock } from '../../../src/lock/lock.scripts.js';
import { LockService } from '../../../src/lock/lock.service.js';
import { example, type ScriptExample } from '../../support/script-example.js';

export const examples: ScriptExample[] = [
  example(acquireLock, {
    prepare: async (app, projectId) => {
      const keys = app.get(LockKeys);
      return {
        keys: { lock: keys.lock(projectId, 'a'), fence: keys.fence(projectId, 'a') },
        args: { token: 'token', ttl_ms: 5000 },
      };
    },
  }),
  example(extendLock, {
    prepare: async (app, projectId) => {
      const { token } = await app.get(LockService).acquire(projectId, 'a', { ttlMs: 5000 });
      return { keys: { lock: app.get(LockKeys).lock(projectId, 'a') }, args: { token, ttl_ms: 9000 } };
    },
  }),
  example(releaseLock, {
    channels: ['free'],
    prepare: async (app, projectId) => {
      const keys = app.get(LockKeys);
      const { token } = await app.get(LockService).acquire(projectId, 'a', { ttlMs: 5000 });
      return {
        keys: {
          lock: keys.lock(projectId, 'a'),
          released: keys.released(projectId, 'a', token),
          free: keys.free(projectId, 'a'),
        },
        args: { token },
      };
    },
  }),
];
