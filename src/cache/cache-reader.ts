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
    const [value, mark] = await this.#mget(key, this.keys.epoch(projectId));
    if (mark?.[0] === CLEAN) return value ?? undefined;
    return this.#readUnsettled(projectId, key, mark);
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
    mark: Buffer | null | undefined,
  ): Promise<Buffer | undefined> {
    const seen = parseMark(mark) ?? (await this.epoch.load(projectId));
    if (seen.dirty) this.sweeper.sweepSoon(projectId);
    const freshKey = this.keys.fresh(projectId);
    const fresh = await this.gateway.call('cache', 'cache.fresh', (client) => client.hget(freshKey, key));
    const [value, now] = await this.#mget(key, this.keys.epoch(projectId));
    const current = parseMark(now);
    const visible = current !== undefined && (!current.dirty || current.epoch === fresh);
    return visible ? (value ?? undefined) : undefined;
  }

  #mget(key: string, epochKey: string): Promise<(Buffer | null)[]> {
    return this.gateway.call('cache', 'cache.read', (client) => client.mgetBuffer(key, epochKey));
  }
}
