import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { monotonicMs } from '../common/time.js';
import type { RedisRole } from './connection-options.js';
import { RedisConnections } from './redis-connections.js';

const REFRESH_MS = 5000;

/**
 * The time of Redis, guessed from the last `TIME` seen and a monotonic clock since. It decides nothing: scripts read `TIME`
 * themselves. It only dates the not-after of a call, so that a script which a frozen Redis runs late does nothing.
 */
@Injectable()
export class RedisClock implements OnModuleInit, OnModuleDestroy {
  readonly #offsets: Record<RedisRole, number> = { state: 0, cache: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly connections: RedisConnections) {}

  async onModuleInit(): Promise<void> {
    await Promise.all([this.sync('state'), this.sync('cache')]);
    this.#timer = setInterval(() => {
      void Promise.allSettled([this.sync('state'), this.sync('cache')]);
    }, REFRESH_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.#timer);
  }

  /** @returns Redis time in milliseconds since the epoch, never ahead of the truth unless its clock has just stepped back. */
  now(role: RedisRole): number {
    return Math.ceil(monotonicMs() + this.#offsets[role]);
  }

  /**
   * Reads `TIME` again: called every 5 s, and when a script said that a fresh call came too late (the clock stepped, or this
   * process stalled while it read). The answer bounds the offset from below and from above, a round trip apart; the greatest
   * lower bound is kept, so that a call that its caller gave up is late for certain.
   */
  async sync(role: RedisRole): Promise<void> {
    const sent = monotonicMs();
    const [seconds, micros] = await this.connections.command(role).time();
    const time = Number(seconds) * 1000 + Number(micros) / 1000;
    const [least, most] = [time - monotonicMs(), time - sent];
    const guess = this.#offsets[role];
    if (guess < least || guess > most) this.#offsets[role] = least;
  }
}
