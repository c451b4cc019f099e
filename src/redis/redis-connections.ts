import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { Socket } from 'node:net';
import { Cluster, type Redis } from 'ioredis';
import type { AppConfig } from '../config/app-config.js';
import { CALL_TIMEOUT_MS, type RedisRole } from './connection-options.js';
import { withDeadline } from './deadline.js';

/** A client that carries commands, of one server or of a Cluster. */
export type RedisClient = Redis | Cluster;

/** Calls `opened` with each socket that the client opens from now on: one at a time, or one for each node of a Cluster. */
export function eachSocket(client: RedisClient, opened: (node: Redis, socket: Socket) => void): void {
  const each = (node: Redis): unknown => node.on('connect', () => opened(node, node.stream as Socket));
  if (client instanceof Cluster) client.on('+node', each);
  else each(client);
}

/** A pair of connections to the server of documents: Redis tells on the one what became of that which the other has read. */
export interface TrackedPair {
  readonly reads: Redis;
  readonly invalidations: Redis;
}

/**
 * The connections of the process, by role: a fixed number, at most three per server, or four where one server does everything.
 * `cache` is `state` where there is one server; `tracked` is there when values are kept in the process (`CACHE_L1`).
 */
export class RedisConnections implements OnApplicationShutdown {
  constructor(
    readonly state: RedisClient,
    readonly cache: RedisClient,
    readonly subscriber: RedisClient,
    readonly tracked?: TrackedPair,
  ) {}

  /** Each connection once. */
  get all(): RedisClient[] {
    const { reads, invalidations } = this.tracked ?? {};
    return [...new Set([this.state, this.cache, this.subscriber, reads, invalidations])].filter((client) => !!client);
  }

  /** @returns the command connection of a role. */
  command(role: RedisRole): RedisClient {
    return role === 'cache' ? this.cache : this.state;
  }

  /** Whether documents stand on a server of their own. */
  get separateCache(): boolean {
    return this.cache !== this.state;
  }

  /** Ends the connections when no request is left: politely, and without waiting for a Redis that does not answer. */
  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled(this.all.map((client) => withDeadline(() => client.quit(), CALL_TIMEOUT_MS)));
    for (const client of this.all) client.disconnect();
  }
}

const START_TIMEOUT_MS = 10_000;

/** Redis did not answer while the process started. One line, without credentials. */
export class RedisStartError extends Error {
  override readonly name = 'RedisStartError';
}

/**
 * Waits until each role answers, so that nothing is built on a connection that is not there, and a wrong URL or password is
 * said at once and plainly. Refuses a state server that may evict in production, and warns of it elsewhere.
 */
export async function ready(connections: RedisConnections, config: AppConfig): Promise<RedisConnections> {
  const setting = ['REDIS_CLUSTER_NODES', 'REDIS_SENTINELS', 'REDIS_URL'].find(
    (name) => config[name as keyof AppConfig] !== undefined,
  )!;
  await Promise.all([
    answering(setting, connections.state),
    answering(setting, connections.subscriber),
    ...(connections.separateCache ? [answering('REDIS_CACHE_URL', connections.cache)] : []),
  ]).catch((error: unknown) => {
    for (const client of connections.all) client.disconnect();
    throw error;
  });
  await refuseEviction(connections, config, setting);
  return connections;
}

/** Waits until a connection is ready. @throws RedisStartError naming `setting`, after 10 s, or at once for a wrong password. */
export async function answering(setting: string, client: RedisClient): Promise<void> {
  if (client.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    let last: Error | undefined;
    const settle = (problem?: string): void => {
      clearTimeout(timer);
      client.off('error', remember);
      if (problem === undefined) resolve();
      else reject(new RedisStartError(`${setting}: ${problem}`));
    };
    const remember = (error: Error): void => {
      last = error;
      // Waiting helps against a server that is still starting, not against a wrong password.
      if (/WRONGPASS|NOAUTH|NOPERM/.test(error.message)) settle('Redis refuses the user or the password.');
    };
    const timer = setTimeout(
      () => settle(`Redis does not answer within ${START_TIMEOUT_MS / 1000} s (${reason(last)}).`),
      START_TIMEOUT_MS,
    );
    client.on('error', remember);
    client.once('ready', () => settle());
  });
}

async function refuseEviction(connections: RedisConnections, config: AppConfig, setting: string): Promise<void> {
  const policy = evictionPolicy(String(await connections.state.info('memory')));
  if (policy === 'noeviction' || policy === undefined) return;
  const sentence = `${setting}: the state server may evict keys (maxmemory-policy ${policy}); it must be noeviction.`;
  if (config.production && !config.REDIS_ALLOW_EVICTION) throw new RedisStartError(sentence);
  new Logger('Redis').warn(sentence);
}

/** @returns `maxmemory_policy` out of the text of INFO, or `undefined` when it is not in it. */
export function evictionPolicy(info: string): string | undefined {
  return /^maxmemory_policy:(.+?)\r?$/m.exec(info)?.[1];
}

function reason(error: Error | undefined): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? error?.message.split('\n', 1)[0] ?? 'no connection';
}
