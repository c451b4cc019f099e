import { monotonicMs } from '../common/time.js';
import { withDeadline } from '../redis/deadline.js';
import type { RedisClient } from '../redis/redis-connections.js';

const DEADLINE_MS = 80;
const FRESH_MS = 1000;

/** What a Redis server says of itself (`INFO`), as far as readiness depends on it. */
export interface ServerFacts {
  readonly version: string;
  /** `maxmemory-policy`. */
  readonly evictionPolicy: string;
  /** Whether each write goes to an append-only file. */
  readonly aof: boolean;
  /** Whether the last append, rewrite and snapshot went well, as far as there was one. */
  readonly persisting: boolean;
  /** Whether it still reads its data. */
  readonly loading: boolean;
  /** Whether it copies another server, and so refuses writes. */
  readonly replica: boolean;
}

/**
 * Asks one server for its facts, at most once a second, and waits some 80 ms at most. It goes past the gateway: a probe's short
 * deadline must not count against the breaker that guards real calls.
 */
export class ServerProbe {
  #last: { facts: ServerFacts; at: number } | undefined;
  #asking: Promise<ServerFacts> | undefined;

  constructor(private readonly client: RedisClient) {}

  /** @returns facts that are at most a second old, or `undefined` when the server does not give them in time. */
  async facts(): Promise<ServerFacts | undefined> {
    if (this.#last && monotonicMs() - this.#last.at < FRESH_MS) return this.#last.facts;
    // All probes of a hanging server wait for one and the same question.
    const asking = (this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    }));
    return withDeadline(() => asking, DEADLINE_MS).catch(() => undefined);
  }

  async #ask(): Promise<ServerFacts> {
    const facts = parse(await this.client.info('server', 'memory', 'persistence', 'replication'));
    this.#last = { facts, at: monotonicMs() };
    return facts;
  }
}

function parse(info: string): ServerFacts {
  const fields = new Map([...info.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]));
  const done = ['aof_last_write_status', 'aof_last_bgrewrite_status', 'rdb_last_bgsave_status'];
  return {
    version: fields.get('redis_version') ?? 'unknown',
    evictionPolicy: fields.get('maxmemory_policy') ?? 'unknown',
    aof: fields.get('aof_enabled') === '1',
    persisting: done.every((name) => (fields.get(name) ?? 'ok') === 'ok'),
    loading: fields.get('loading') === '1',
    replica: fields.get('role') === 'slave',
  };
}
