import 'reflect-metadata';
import { parentPort, workerData } from 'node:worker_threads';
import { Logger } from '@nestjs/common';
import { jsonLogger } from '../../common/json-logger.js';
import { MetricsRegistry } from '../../common/metrics-registry.js';
import { AppConfig } from '../../config/app-config.js';
import { KeyBuilder } from '../../redis/key-builder.js';
import { openConnection } from '../../redis/open-connection.js';
import { RedisClock } from '../../redis/redis-clock.js';
import { answering, RedisConnections } from '../../redis/redis-connections.js';
import { RedisGateway } from '../../redis/redis-gateway.js';
import { RedisMetrics } from '../../redis/redis-metrics.js';
import { ScriptRunner } from '../../redis/script-runner.js';
import { QueueKeys } from '../queue.keys.js';
import { QueueStore } from '../queue.store.js';
import { HeldLeases } from './held-leases.js';
import type { Order, Report } from './messages.js';

/**
 * The thread that keeps the leases of this process's consumers: handlers may block the event loop of the process, never
 * this one. It has a Redis connection of its own, and dies with the process, so that the jobs of a dead one come back.
 */
async function main(port: NonNullable<typeof parentPort>): Promise<void> {
  const config = Object.assign(new AppConfig(), workerData);
  Logger.overrideLogger(jsonLogger(config.LOG_LEVEL));
  const client = openConnection(config, 'leases');
  const connections = new RedisConnections(client, client, client);
  const clock = new RedisClock(connections);
  const gateway = new RedisGateway(connections, new RedisMetrics(new MetricsRegistry()));
  const keys = new QueueKeys(new KeyBuilder(config.REDIS_CLUSTER_NODES !== undefined));
  const store = new QueueStore(new ScriptRunner(gateway, clock), keys, config);
  const report = (said: Report): void => port.postMessage(said);
  const leases = new HeldLeases(store, clock, (lost, why) => report({ lost, why }));

  port.on('message', (order: Order) => {
    if (order === 'stop') {
      leases.clear();
      clock.onModuleDestroy();
      port.close();
      void connections.onApplicationShutdown();
    } else if ('hold' in order) leases.hold(order.hold);
    else leases.drop(order.drop);
  });
  await answering('The thread that keeps leases', client);
  await clock.onModuleInit();
  report('ready');
}

await main(parentPort!);
