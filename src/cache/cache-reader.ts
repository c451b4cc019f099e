import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { CacheEpoch, parseMark } from './cache-epoch.js';
import { CacheKeys } from './cache.keys.js';
import { CacheSweeper } from './cache.sweeper.js';

// The first byte of `clean:…`: the hot path looks no further.
const CLEAN = 0x63;

/** Reads values under the project's epoch: what was invalidated is absent, whether or not its key still stands. */
@Injectable()
export class CacheReader {
  constructor(
    private readonly gateway: RedisGateway,
    private readonly epoch: CacheEpoch,
    private readonly sweeper: CacheSweeper,
    private readonly keys: CacheKeys,
  ) {}

  /** One command when nothing is being swept. @returns the stored bytes; none for a key of another kind. */
  async read(projectId: ProjectId, key: string): Promise<Buffer | undefined> {
    return (await this.readWith(projectId, key))[0];
  }

  /**
   * {@link read}, and what stands at a second key, which is shown as it is.
   * @returns both, of the same moment.
   */
  async readWith(projectId: ProjectId, key: string, ...beside: [] | [string]): Promise<[Buffer?, Buffer?]> {
    const reply = await this.#mget(key, ...beside, this.keys.epoch(projectId));
    const mark = reply.at(-1);
    if (mark?.[0] === CLEAN) return [reply[0] ?? undefined, (beside.length > 0 && reply[1]) || undefined];
    return this.#readUnsettled(projectId, key, beside, mark);
  }

  /** @returns whether something stands at the key that is no string, which {@link read} cannot tell from nothing. */
  async isForeignKind(key: string): Promise<boolean> {
    const kind = await this.gateway.call('cache', 'cache.type', (client) => client.type(key));
    return kind !== 'none' && kind !== 'string';
  }

  // Between an invalidation and the end of its sweep a key may hold what was invalidated; it is shown only if the API wrote
  // it since. That is asked *before* the value is read: once true it stays true for whatever the key holds later.
  async #readUnsettled(
    projectId: ProjectId,
    key: string,
    beside: readonly string[],
    mark: Buffer | null | undefined,
  ): Promise<[Buffer?, Buffer?]> {
    const seen = parseMark(mark) ?? (await this.epoch.load(projectId));
    if (seen.dirty) this.sweeper.sweepSoon(projectId);
    const freshKey = this.keys.fresh(projectId);
    const fresh = await this.gateway.call('cache', 'cache.fresh', (client) => client.hget(freshKey, key));
    const reply = await this.#mget(key, ...beside, this.keys.epoch(projectId));
    const current = parseMark(reply.at(-1));
    const visible = current !== undefined && (!current.dirty || current.epoch === fresh);
    return visible ? [reply[0] ?? undefined, (beside.length > 0 && reply[1]) || undefined] : [];
  }

  #mget(...keys: string[]): Promise<(Buffer | null)[]> {
    return this.gateway.call('cache', 'cache.read', (client) => client.mgetBuffer(...keys));
  }
}
