import { Logger } from '@nestjs/common';
import { Cluster, Redis } from 'ioredis';
import type { AppConfig } from '../config/app-config.js';
import { clusterOptions, COMMAND_OPTIONS, redisOptions } from './connection-options.js';
import { endHalfOpen } from './half-open.js';
import type { RedisClient } from './redis-connections.js';
import { batchWrites } from './write-batch.js';

const log = new Logger('Redis');

/** What every connection gets. ioredis throws an 'error' event that nobody hears; the line names the connection, never its address or password. */
export function attach(client: RedisClient, name: string): void {
  let away = false;
  client.on('error', (error: Error) => {
    if (!away) log.warn(`${name}: ${(error as NodeJS.ErrnoException).code ?? error.message.split('\n', 1)[0]}`);
    away = true;
  });
  client.on('ready', () => {
    if (away) log.log(`${name}: back`);
    away = false;
  });
  batchWrites(client);
  endHalfOpen(client);
}

/** One command connection more to the state server, for a thread of its own: nothing crosses threads but messages. */
export function openConnection(config: AppConfig, name: string): RedisClient {
  let client: RedisClient;
  if (config.REDIS_CLUSTER_NODES) {
    const { nodes, options } = clusterOptions(config, COMMAND_OPTIONS);
    client = new Cluster(nodes, options);
  } else client = new Redis(redisOptions(config, 'state', COMMAND_OPTIONS, name));
  attach(client, name);
  return client;
}
