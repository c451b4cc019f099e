import { Injectable, Logger } from '@nestjs/common';
import type { ProjectId } from '../../common/project-id.js';
import { RedisGateway } from '../../redis/redis-gateway.js';
import { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { CacheKeys } from '../cache.keys.js';
import type { EntryName } from './entry-type.js';

/** How a load of another process ended: the entry is there, or somebody else has to load it. */
export type End = 'stored' | 'open';

/** Waits for the end of loads of one entry. Must be left. */
export interface LoadWaiter {
  /** @returns how a load ended since the last call, or `undefined` after so many ms without news. */
  next(ms: number): Promise<End | undefined>;
  leave(): void;
}

/**
 * Wakes those who wait for a load of another process when it ends. A hint, no promise: it may be lost with the connection, so
 * who waits also looks by itself now and then.
 */
@Injectable()
export class LoadWakes {
  readonly #log = new Logger('LoadWakes');

  constructor(
    private readonly gateway: RedisGateway,
    private readonly subscriber: RedisSubscriber,
    private readonly keys: CacheKeys,
  ) {}

  /** @returns when every end from now on is heard. */
  async wait(projectId: ProjectId, { type, id }: EntryName): Promise<LoadWaiter> {
    let news: End | undefined;
    let wake = (): void => undefined;
    const channel = this.keys.loaded(projectId, type.name, id);
    const leave = await this.subscriber
      .subscribe(channel, (message) => {
        news = message === 'stored' ? 'stored' : 'open';
        wake();
      })
      .catch((error: unknown) => {
        this.#log.debug(`waiting without wake-ups: ${(error as Error).message}`);
        return () => undefined;
      });
    const next = async (ms: number): Promise<End | undefined> => {
      let timer: NodeJS.Timeout | undefined;
      if (news === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, ms);
        });
      }
      clearTimeout(timer);
      const heard = news;
      news = undefined;
      return heard;
    };
    return { next, leave };
  }

  /** Tells those who wait in other processes. */
  tell(projectId: ProjectId, { type, id }: EntryName, end: End): void {
    const channel = this.keys.loaded(projectId, type.name, id);
    // The channel's server is that of the subscriber.
    this.gateway
      .call('state', 'cache.wake', (client) => client.publish(channel, end))
      .catch((error: unknown) => this.#log.debug(`a wake-up was not sent: ${(error as Error).message}`));
  }
}
