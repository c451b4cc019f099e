import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../../common/project-id.js';
import { defineScript } from '../../redis/script.js';
import { ScriptRunner } from '../../redis/script-runner.js';
import { CacheKeys } from '../cache.keys.js';
import { entryKey, type EntryName } from './entry-type.js';

const KEYS = ['epoch', 'fresh', 'value', 'meta', 'lease'] as const;
const lua = (name: string): URL => new URL(`../lua/${name}.lua`, import.meta.url);

export const leaseEntry = defineScript({
  op: 'cache.lease',
  file: lua('lease'),
  role: 'cache',
  keys: KEYS,
  args: ['token', 'lease_ms', 'seen'],
});

export const fillEntry = defineScript({
  op: 'cache.fill',
  file: lua('fill'),
  role: 'cache',
  keys: KEYS,
  args: ['token', 'bytes', 'fresh_ms', 'keep_ms', 'load_ms', 'sum'],
});

export const abandonEntry = defineScript({
  op: 'cache.abandon',
  file: lua('abandon'),
  role: 'cache',
  keys: KEYS,
  args: ['token'],
});

export type LeaseOutcome =
  | { readonly outcome: 'granted' }
  /** Something else stands there than the caller has seen. */
  | { readonly outcome: 'changed' }
  | { readonly outcome: 'epoch_unknown' }
  /** Another loads, for `leftMs` at most. */
  | { readonly outcome: 'held'; readonly leftMs: number };

export interface Fill {
  readonly bytes: Buffer;
  readonly freshMs: number;
  readonly keepMs: number;
  readonly loadMs: number;
  readonly sum: number;
}

/** What became of a loaded value; `waited`: others wait for the end of the load, or may do so. */
export type FillOutcome =
  { readonly outcome: 'stored' | 'lost'; readonly waited: boolean } | { readonly outcome: 'epoch_unknown' };

/** The scripts of loading, typed. */
@Injectable()
export class EntryScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: CacheKeys,
  ) {}

  /** @param seen digest of what the caller has read and wants to replace; `''` for nothing. */
  async lease(
    projectId: ProjectId,
    entry: EntryName,
    token: string,
    leaseMs: number,
    seen: string,
  ): Promise<LeaseOutcome> {
    const [status, left] = (await this.runner.run(leaseEntry, {
      keys: this.#keysOf(projectId, entry),
      args: { token, lease_ms: leaseMs, seen },
    })) as [1 | 2 | -1] | [0, number];
    if (status === 0) return { outcome: 'held', leftMs: left };
    return { outcome: status === 1 ? 'granted' : status === 2 ? 'changed' : 'epoch_unknown' };
  }

  async fill(
    projectId: ProjectId,
    entry: EntryName,
    token: string,
    { bytes, freshMs, keepMs, loadMs, sum }: Fill,
  ): Promise<FillOutcome> {
    const [status, waited] = (await this.runner.run(fillEntry, {
      keys: this.#keysOf(projectId, entry),
      args: { token, bytes, fresh_ms: freshMs, keep_ms: keepMs, load_ms: loadMs, sum },
    })) as [1 | 0, 1 | 0] | [-1];
    if (status === -1) return { outcome: 'epoch_unknown' };
    return { outcome: status === 1 ? 'stored' : 'lost', waited: waited === 1 };
  }

  /** Gives the lease back. @returns whether nobody has invalidated, deleted or written the entry since it was given. */
  async abandon(projectId: ProjectId, entry: EntryName, token: string): Promise<{ good: boolean; waited: boolean }> {
    const [status, waited] = (await this.runner.run(abandonEntry, {
      keys: this.#keysOf(projectId, entry),
      args: { token },
    })) as [1 | 0, 1 | 0];
    return { good: status === 1, waited: waited === 1 };
  }

  #keysOf(projectId: ProjectId, entry: EntryName): Record<(typeof KEYS)[number], string> {
    const { name } = entry.type;
    return {
      epoch: this.keys.epoch(projectId),
      fresh: this.keys.fresh(projectId),
      value: entryKey(this.keys, projectId, entry),
      meta: this.keys.meta(projectId, name, entry.id),
      lease: this.keys.lease(projectId, name, entry.id),
    };
  }
}
