import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { CacheKeys } from './cache.keys.js';
import { CacheScripts } from './cache.scripts.js';

/** What a project's mark says: `dirty` while values from before the epoch may still be there, to be shown to nobody. */
export interface Mark {
  readonly dirty: boolean;
  /** Grows with every invalidation of the project. Digits; compared for equality, and in the scripts by size. */
  readonly epoch: string;
}

const NEVER_INVALIDATED = 'clean:0';

/** @returns what the text of a mark says, or `undefined` for no mark. */
export function parseMark(text: string | Buffer | null | undefined): Mark | undefined {
  const match = /^(clean|dirty):(\d+)$/.exec(text?.toString() ?? '');
  return match ? { dirty: match[1] === 'dirty', epoch: match[2]! } : undefined;
}

/**
 * The epoch of a project's cache: invalidates everything in O(1).
 *
 * The truth stands on the state server, which never evicts; the cache server holds a copy, so that a hit stays one command.
 * Marks only grow (number first, then dirty before clean), and both places are written by merging only.
 */
@Injectable()
export class CacheEpoch {
  constructor(
    private readonly gateway: RedisGateway,
    private readonly scripts: CacheScripts,
    private readonly keys: CacheKeys,
  ) {}

  /** Brings the copy up to the truth: when the copy was evicted, has expired or never was. @returns what the copy says now. */
  async load(projectId: ProjectId): Promise<Mark> {
    return parse(
      await this.scripts.merge(projectId, 'copy', (await this.#truth(projectId)) ?? NEVER_INVALIDATED, true),
    );
  }

  /**
   * Brings the copy up to the truth, and the truth up to the copy, should the state server have lost its last writes. Makes
   * no mark where there is none: a sweep that a purge has overtaken must leave nothing behind.
   */
  async reconcile(projectId: ProjectId): Promise<Mark> {
    const known = await this.#truth(projectId);
    const copy = parse(await this.scripts.merge(projectId, 'copy', known ?? NEVER_INVALIDATED, known !== null));
    const truth = await this.scripts.merge(projectId, 'truth', format(copy), copy.dirty);
    return parse(truth);
  }

  /**
   * Begins a new epoch. When it returns, every read that starts misses what was written before it was called. When it
   * throws, that may be so, or become so.
   */
  async invalidate(projectId: ProjectId): Promise<void> {
    const mark = await this.scripts.invalidate(projectId, 0);
    const copy = parse(await this.scripts.merge(projectId, 'copy', mark, true));
    // A copy that is ahead belongs to an invalidation that overtook this one, or to a truth that was lost while the clock
    // stepped back. Beyond it, either way.
    if (copy.epoch === parse(mark).epoch) return;
    const beyond = await this.scripts.invalidate(projectId, Number(copy.epoch));
    await this.scripts.merge(projectId, 'copy', beyond, true);
  }

  /** Says that nothing from before this epoch is left. Without effect where a newer epoch has begun or a purge took the mark. */
  async settle(projectId: ProjectId, epoch: string): Promise<void> {
    const clean = format({ dirty: false, epoch });
    await this.scripts.merge(projectId, 'truth', clean, false);
    await this.scripts.merge(projectId, 'copy', clean, false);
  }

  #truth(projectId: ProjectId): Promise<string | null> {
    const key = this.keys.epoch(projectId);
    return this.gateway.call('state', 'cache.epoch', (client) => client.get(key));
  }
}

function format({ dirty, epoch }: Mark): string {
  return `${dirty ? 'dirty' : 'clean'}:${epoch}`;
}

function parse(mark: string): Mark {
  return parseMark(mark) ?? { dirty: false, epoch: '0' };
}
