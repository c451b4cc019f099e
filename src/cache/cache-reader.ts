import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { RedisTracking } from '../redis/redis-tracking.js';
import { commandHead, TextCommand } from '../redis/text-command.js';
import { CacheEpoch, parseMark } from './cache-epoch.js';
import { CacheKeys } from './cache.keys.js';
import { CacheSweeper } from './cache.sweeper.js';
import type { TrackedRead } from './l1.js';

// The first byte of `clean:…`: the hot path looks no further.
const CLEAN = 0x63;
const MGET = commandHead('mget');

/** Reads values under the project's epoch: what was invalidated is absent, whether or not its key still stands. */
@Injectable()
export class CacheReader {
  constructor(
    private readonly gateway: RedisGateway,
    private readonly epoch: CacheEpoch,
    private readonly sweeper: CacheSweeper,
    private readonly keys: CacheKeys,
    private readonly tracking: RedisTracking,
  ) {}

  /**
   * One command when nothing is being swept.
   * @param beside a second key, which is shown as it is.
   * @param tracked a read of the key that L1 has begun: it learns whether it may be kept, for a `PTTL` in the same write.
   * @returns the stored bytes of the key, none for a key of another kind; and those beside, of the same moment.
   */
  async read(
    projectId: ProjectId,
    key: string,
    beside: readonly [] | readonly [string] = [],
    tracked?: TrackedRead<unknown>,
  ): Promise<[Buffer?, Buffer?]> {
    const keys = [key, ...beside, this.keys.epoch(projectId)];
    const sentAt = monotonicMs();
    const [reply, leftMs] = tracked ? await this.#readTracked(keys) : [await this.#mget(...keys), 0];
    const mark = reply.at(-1);
    if (mark?.[0] !== CLEAN) return this.#readUnsettled(projectId, key, beside, mark);
    tracked?.visible(sentAt, leftMs);
    return [reply[0] ?? undefined, (beside.length > 0 && reply[1]) || undefined];
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

  // Should the key change between the two, Redis tells of it, since the first has read it.
  #readTracked(keys: readonly string[]): Promise<[(Buffer | null)[], number]> {
    return this.tracking.read('cache.read', (client) =>
      Promise.all([client.mgetBuffer(...keys), client.pttl(keys[0]!)]),
    );
  }

  #mget(...keys: string[]): Promise<(Buffer | null)[]> {
    return this.gateway.call(
      'cache',
      'cache.read',
      (client) => client.sendCommand(new TextCommand(MGET, keys, null)) as Promise<(Buffer | null)[]>,
    );
  }
}
