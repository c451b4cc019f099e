import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import type { Cluster, Redis } from 'ioredis';
import { AppConfig } from '../config/app-config.js';
import type { RedisRole } from './connection-options.js';

/** A client that carries commands, of one server or of a Cluster. */
export type RedisClient = Redis | Cluster;

/** The connections of the process, by role: at most three per server. `cache` is `state` where there is one server. */
export class RedisConnections {
  constructor(
    readonly state: RedisClient,
    readonly cache: RedisClient,
    readonly subscriber: RedisClient,
  ) {}

  /** @returns the command connection of a role. */
  command(role: RedisRole): RedisClient {
    return role === 'cache' ? this.cache : this.state;
  }

  /** Whether documents stand on a server of their own. */
  get separateCache(): boolean {
    return this.cache !== this.state;
  }
}

const START_TIMEOUT_MS = 10_000;

/** Redis did not answer while the process started. One line, without credentials. */
export class RedisStartError extends Error {
  override readonly name = 'RedisStartError';
}

/** Waits at start until each role answers, so that a wrong URL or password is said at once and plainly. */
@Injectable()
export class RedisStartup implements OnModuleInit {
  readonly #log = new Logger('Redis');

  constructor(
    private readonly connections: RedisConnections,
    private readonly config: AppConfig,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.#ready('REDIS_URL', this.connections.state);
    if (this.connections.separateCache) await this.#ready('REDIS_CACHE_URL', this.connections.cache);
    await this.#ready('REDIS_URL', this.connections.subscriber);
    await this.#refuseEviction();
  }

  async #ready(setting: string, client: RedisClient): Promise<void> {
    if (client.status === 'ready') return;
    let last: Error | undefined;
    const remember = (error: Error): void => {
      last = error;
    };
    client.on('error', remember);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        client.off('ready', done);
        reject(new RedisStartError(`${setting}: Redis does not answer within ${START_TIMEOUT_MS / 1000} s (${reason(last)}).`));
      }, START_TIMEOUT_MS);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      client.once('ready', done);
    }).finally(() => client.off('error', remember));
  }

  /** A state server that evicts loses queues, quotas and sessions. Production refuses it; elsewhere it is said. */
  async #refuseEviction(): Promise<void> {
    const policy = evictionPolicy(String(await this.connections.state.info('memory')));
    if (policy === 'noeviction' || policy === undefined) return;
    const sentence = `REDIS_URL: the state server may evict keys (maxmemory-policy ${policy}); it must be noeviction.`;
    if (this.config.production && !this.config.REDIS_ALLOW_EVICTION) throw new RedisStartError(sentence);
    this.#log.warn(sentence);
  }
}

/** @returns `maxmemory_policy` out of the text of INFO, or `undefined` when it is not in it. */
export function evictionPolicy(info: string): string | undefined {
  return /^maxmemory_policy:(.+?)\r?$/m.exec(info)?.[1];
}

function reason(error: Error | undefined): string {
  const message = error?.message ?? 'no connection';
  if (/WRONGPASS|NOAUTH|NOPERM/.test(message)) return 'user or password refused';
  return (error as NodeJS.ErrnoException | undefined)?.code ?? message.split('\n', 1)[0]!.slice(0, 80);
}
