import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { CacheKeys, DOCUMENT_TYPE } from './cache.keys.js';

export const putDocument = defineScript({
  op: 'cache.put',
  file: new URL('./lua/put.lua', import.meta.url),
  role: 'cache',
  keys: ['epoch', 'fresh', 'doc', 'version', 'versions', 'meta', 'lease', 'guard'],
  args: ['expected', 'value', 'number', 'ttl_ms', 'fence'],
  buffers: true,
});

export const deleteDocument = defineScript({
  op: 'cache.delete',
  file: new URL('./lua/delete.lua', import.meta.url),
  role: 'cache',
  keys: ['doc', 'versions', 'deleted', 'meta', 'lease'],
  args: ['doc_id'],
});

export const invalidateProject = defineScript({
  op: 'cache.invalidate',
  file: new URL('./lua/invalidate.lua', import.meta.url),
  role: 'state',
  keys: ['epoch'],
  args: ['floor'],
});

const MERGE = new URL('./lua/merge.lua', import.meta.url);

export const mergeTruth = defineScript({
  op: 'cache.merge.truth',
  file: MERGE,
  role: 'state',
  keys: ['epoch', 'fresh'],
  args: ['mark', 'create'],
});

export const mergeCopy = defineScript({
  op: 'cache.merge.copy',
  file: MERGE,
  role: 'cache',
  keys: ['epoch', 'fresh'],
  args: ['mark', 'create'],
});

export const sweepDocuments = defineScript({
  op: 'cache.sweep',
  file: new URL('./lua/sweep.lua', import.meta.url),
  role: 'cache',
  keys: ['epoch', 'fresh', 'found...'],
  args: ['epoch'],
});

export const sweepVersions = defineScript({
  op: 'cache.sweep.versions',
  file: new URL('./lua/sweep-versions.lua', import.meta.url),
  role: 'cache',
  keys: ['versions', 'found...'],
  args: ['numbers...'],
});

/** What became of a write: done, refused because other bytes are there, or to be repeated once the epoch is known. */
export type PutOutcome =
  | { readonly outcome: 'stored' }
  /** `current` is empty when nothing is there. */
  | { readonly outcome: 'differs'; readonly current: Buffer }
  | { readonly outcome: 'epoch_unknown' }
  | { readonly outcome: 'fenced' };

export interface PutInput {
  readonly docId: string;
  readonly version: number;
  /** What the caller believes to be stored; empty for nothing. */
  readonly expected: Buffer;
  readonly value: Buffer;
  readonly ttlMs: number;
  /** The fence of the lock under which the caller writes. */
  readonly fence: number | undefined;
}

/** The cache's scripts, typed. */
@Injectable()
export class CacheScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: CacheKeys,
  ) {}

  async put(projectId: ProjectId, input: PutInput): Promise<PutOutcome> {
    const [status, current] = (await this.runner.run(putDocument, {
      keys: {
        epoch: this.keys.epoch(projectId),
        fresh: this.keys.fresh(projectId),
        doc: this.keys.doc(projectId, input.docId),
        version: this.keys.version(projectId, input.docId, input.version),
        versions: this.keys.versions(projectId, input.docId),
        meta: this.keys.meta(projectId, DOCUMENT_TYPE, input.docId),
        lease: this.keys.lease(projectId, DOCUMENT_TYPE, input.docId),
        guard: this.keys.guard(projectId, input.docId),
      },
      args: {
        expected: input.expected,
        value: input.value,
        number: input.version,
        ttl_ms: input.ttlMs,
        fence: input.fence ?? '',
      },
    })) as [1] | [0, Buffer] | [-1 | -2, undefined];
    if (status === 1) return { outcome: 'stored' };
    if (status === -2) return { outcome: 'fenced' };
    return status === 0 ? { outcome: 'differs', current: current! } : { outcome: 'epoch_unknown' };
  }

  /** @returns the number of keys removed. */
  async delete(projectId: ProjectId, docId: string): Promise<number> {
    const reply = (await this.runner.run(deleteDocument, {
      keys: {
        doc: this.keys.doc(projectId, docId),
        versions: this.keys.versions(projectId, docId),
        deleted: this.keys.deleted(projectId),
        meta: this.keys.meta(projectId, DOCUMENT_TYPE, docId),
        lease: this.keys.lease(projectId, DOCUMENT_TYPE, docId),
      },
      args: { doc_id: docId },
    })) as [number];
    return reply[0];
  }

  /** @returns the new mark of the truth. */
  async invalidate(projectId: ProjectId, floor: number): Promise<string> {
    return (await this.runner.run(invalidateProject, {
      keys: { epoch: this.keys.epoch(projectId) },
      args: { floor },
    })) as string;
  }

  /** @param create also where there is no mark. @returns the mark that stands there now, `''` for none. */
  async merge(projectId: ProjectId, where: 'truth' | 'copy', mark: string, create: boolean): Promise<string> {
    return (await this.runner.run(where === 'truth' ? mergeTruth : mergeCopy, {
      keys: { epoch: this.keys.epoch(projectId), fresh: this.keys.fresh(projectId) },
      args: { mark, create: create ? 1 : 0 },
    })) as string;
  }

  /** @returns the number of keys removed, or `undefined` when that epoch is no longer the one to sweep. */
  async sweep(projectId: ProjectId, epoch: string, found: readonly string[]): Promise<number | undefined> {
    const removed = (await this.runner.run(sweepDocuments, {
      keys: { epoch: this.keys.epoch(projectId), fresh: this.keys.fresh(projectId), found },
      args: { epoch },
    })) as number;
    return removed < 0 ? undefined : removed;
  }

  /** @returns the number of keys removed. */
  async sweepVersions(
    projectId: ProjectId,
    docId: string,
    found: readonly string[],
    numbers: readonly string[],
  ): Promise<number> {
    return (await this.runner.run(sweepVersions, {
      keys: { versions: this.keys.versions(projectId, docId), found },
      args: { numbers },
    })) as number;
  }
}
