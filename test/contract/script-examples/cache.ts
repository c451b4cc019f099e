import { CacheEpoch } from '../../../src/cache/cache-epoch.js';
import { CacheKeys } from '../../../src/cache/cache.keys.js';
import {
  deleteDocument,
  invalidateProject,
  mergeCopy,
  mergeTruth,
  putDocument,
  sweepDocuments,
  sweepVersions,
} from '../../../src/cache/cache.scripts.js';
import { CacheService } from '../../../src/cache/cache.service.js';
import { abandonEntry, EntryScripts, fillEntry, leaseEntry } from '../../../src/cache/entry/entry.scripts.js';
import { EntryType } from '../../../src/cache/entry/entry-type.js';
import type { ProjectId } from '../../../src/common/project-id.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

const DOCUMENT = { id: 'a', title: 'A', content: 'text', version: 3 };
const FOREIGN = JSON.stringify({ ...DOCUMENT, version: 2 });

/** A mark that no sweep of the application will touch: it knows nothing of it. */
async function makeDirty(app: TestApp, projectId: ProjectId): Promise<void> {
  const key = app.get(CacheKeys).epoch(projectId);
  await Promise.all([app.state.setex(key, 60, 'dirty:7'), app.cache.setex(key, 60, 'dirty:7')]);
}

const ENTRY = new EntryType({ name: 'example', type: Object, ttlMs: 60_000 }).of('a');

/** The keys of a load, with a lease of the token `token` where one is asked for. */
async function load(app: TestApp, projectId: ProjectId, leased: boolean): Promise<Record<string, string>> {
  const keys = app.get(CacheKeys);
  await app.get(CacheEpoch).load(projectId);
  if (leased) await app.get(EntryScripts).lease(projectId, ENTRY, 'token', 60_000, '');
  return {
    epoch: keys.epoch(projectId),
    fresh: keys.fresh(projectId),
    value: keys.entry(projectId, 'example', 'a'),
    meta: keys.meta(projectId, 'example', 'a'),
    lease: keys.lease(projectId, 'example', 'a'),
  };
}

export const examples: ScriptExample[] = [
  example(putDocument, {
    // What a load noted goes, whatever it is.
    tolerates: ['doc', 'version', 'meta', 'lease'],
    prepare: async (app, projectId) => {
      const keys = app.get(CacheKeys);
      await app.get(CacheEpoch).load(projectId);
      return {
        keys: {
          epoch: keys.epoch(projectId),
          fresh: keys.fresh(projectId),
          doc: keys.doc(projectId, 'a'),
          version: keys.version(projectId, 'a', 3),
          versions: keys.versions(projectId, 'a'),
          meta: keys.meta(projectId, 'doc', 'a'),
          lease: keys.lease(projectId, 'doc', 'a'),
          guard: keys.guard(projectId, 'a'),
        },
        args: { expected: '', value: JSON.stringify(DOCUMENT), number: 3, ttl_ms: 60_000, fence: 7 },
      };
    },
  }),
  example(deleteDocument, {
    tolerates: ['doc', 'meta', 'lease'],
    prepare: async (app, projectId) => {
      const keys = app.get(CacheKeys);
      await app.get(CacheService).put(projectId, DOCUMENT);
      return {
        keys: {
          doc: keys.doc(projectId, 'a'),
          versions: keys.versions(projectId, 'a'),
          deleted: keys.deleted(projectId),
          meta: keys.meta(projectId, 'doc', 'a'),
          lease: keys.lease(projectId, 'doc', 'a'),
        },
        args: { doc_id: 'a' },
      };
    },
  }),
  example(invalidateProject, {
    prepare: async (app, projectId) => ({
      keys: { epoch: app.get(CacheKeys).epoch(projectId) },
      args: { floor: 0 },
    }),
  }),
  ...[mergeTruth, mergeCopy].map((script) =>
    example(script, {
      prepare: async (app, projectId) => {
        const keys = app.get(CacheKeys);
        return {
          keys: { epoch: keys.epoch(projectId), fresh: keys.fresh(projectId) },
          args: { mark: 'clean:5', create: 1 },
        };
      },
    }),
  ),
  example(sweepDocuments, {
    tolerates: ['found'],
    prepare: async (app, projectId) => {
      const keys = app.get(CacheKeys);
      await makeDirty(app, projectId);
      await app.cache.setex(keys.doc(projectId, 'a'), 60, FOREIGN);
      return {
        keys: { epoch: keys.epoch(projectId), fresh: keys.fresh(projectId), found: [keys.doc(projectId, 'a')] },
        args: { epoch: '7' },
      };
    },
  }),
  example(sweepVersions, {
    tolerates: ['found'],
    prepare: async (app, projectId) => {
      const keys = app.get(CacheKeys);
      await app.cache.setex(keys.version(projectId, 'a', 2), 60, FOREIGN);
      return {
        keys: { versions: keys.versions(projectId, 'a'), found: [keys.version(projectId, 'a', 2)] },
        args: { numbers: ['2'] },
      };
    },
  }),
  example(leaseEntry, {
    tolerates: ['value'],
    prepare: async (app, projectId) => ({
      keys: await load(app, projectId, false),
      args: { token: 'token', lease_ms: 60_000, seen: '' },
    }),
  }),
  example(fillEntry, {
    tolerates: ['value'],
    prepare: async (app, projectId) => ({
      keys: await load(app, projectId, true),
      args: { token: 'token', bytes: '{}', fresh_ms: 60_000, keep_ms: 60_000, load_ms: 5, sum: 1 },
    }),
  }),
  example(abandonEntry, {
    tolerates: ['value'],
    prepare: async (app, projectId) => ({ keys: await load(app, projectId, true), args: { token: 'token' } }),
  }),
];
