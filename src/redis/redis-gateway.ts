import { Injectable } from '@nestjs/common';
import { monotonicMs } from '../common/time.js';
import { Breaker } from './breaker.js';
import { CALL_TIMEOUT_MS, type RedisRole } from './connection-options.js';
import { within } from './deadline.js';
import { type RedisClient, RedisConnections } from './redis-connections.js';
import { BreakerOpen, isBug, isReply, mapRedisError } from './redis-errors.js';
import { RedisMetrics } from './redis-metrics.js';
import { flushWrites } from './write-batch.js';

/**
 * The one way from the code to Redis: deadline, breaker, error mapping and metrics of every call.
 *
 * A call that misses its deadline rejects with `redis_unavailable`, though Redis may still run what is on the wire.
 */
@Injectable()
export class RedisGateway {
  readonly #breakers: Record<RedisRole, Breaker>;

  constructor(
    private readonly connections: RedisConnections,
    private readonly metrics: RedisMetrics,
  ) {
    const state = new Breaker();
    this.#breakers = { state, cache: connections.separateCache ? new Breaker() : state };
  }

  /**
   * @param op `feature.operation`, for errors and metrics.
   * @param send sends one command (or one pipeline) on the client it is given.
   * @throws AppError `redis_unavailable`, `storage_full`, `conflict` (wrong type) or `internal_error`.
   */
  call<T>(
    role: RedisRole,
    op: string,
    send: (client: RedisClient) => Promise<T>,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<T> {
    const breaker = this.#breakers[role];
    const start = monotonicMs();
    // No async function: this is under every call, and each of its promises counts.
    return new Promise((resolve, reject) => {
      const answered = (reply: T): void => {
        breaker.succeed();
        this.metrics.observe(role, op, monotonicMs() - start, 'ok');
        resolve(reply);
      };
      const failed = (error: unknown): void => {
        if (isReply(error)) breaker.succeed();
        else if (!(error instanceof BreakerOpen) && !isBug(error)) breaker.fail();
        const mapped = mapRedisError(error, op);
        this.metrics.observe(role, op, monotonicMs() - start, mapped.code);
        reject(mapped);
      };
      if (breaker.allow()) within(timeoutMs, () => send(this.connections.command(role)), answered, failed);
      else failed(new BreakerOpen(`${role} is not asked`));
    });
  }

  /** Sends what was asked in this turn, instead of at its end. */
  flush(role: RedisRole): void {
    flushWrites(this.connections.command(role));
  }

  /** Whether calls of this role are refused at once, because Redis does not answer. */
  broken(role: RedisRole): boolean {
    return this.#breakers[role].open;
  }
}
