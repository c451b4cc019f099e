import { ClusterModule, ClusterService, RedisModule as LibraryModule, RedisService } from '@liaoliaots/nestjs-redis';
import { type DynamicModule, Global, Logger, Module } from '@nestjs/common';
import type { Cluster, Redis } from 'ioredis';
import { AppConfig } from '../config/app-config.js';
import { clusterOptions, COMMAND_OPTIONS, redisOptions, SUBSCRIBER_OPTIONS } from './connection-options.js';
import { KeyBuilder } from './key-builder.js';
import { attach } from './open-connection.js';
import { ProjectScan } from './project-scan.js';
import { RedisClock } from './redis-clock.js';
import { ready, RedisConnections } from './redis-connections.js';
import { RedisGateway } from './redis-gateway.js';
import { RedisMetrics } from './redis-metrics.js';
import { RedisSubscriber } from './redis-subscriber.js';
import { RedisTracking } from './redis-tracking.js';
import { ScriptRunner } from './script-runner.js';

/**
 * Connections by role, keys, scripts and pub/sub. The only importer of `@liaoliaots/nestjs-redis`, whose services for one
 * server and for a Cluster are unrelated classes: everyone else sees {@link RedisConnections} and what stands on it.
 */
@Global()
@Module({})
export class RedisModule {
  static with(config: AppConfig): DynamicModule {
    const cluster = config.REDIS_CLUSTER_NODES !== undefined;
    return {
      module: RedisModule,
      imports: [cluster ? clusterLibrary(config) : serverLibrary(config)],
      providers: [
        { provide: KeyBuilder, useValue: new KeyBuilder(cluster) },
        cluster
          ? {
              provide: RedisConnections,
              inject: [ClusterService],
              useFactory: (service: ClusterService) => ready(fromCluster(service, config), config),
            }
          : {
              provide: RedisConnections,
              inject: [RedisService],
              useFactory: (service: RedisService) => ready(fromServers(service, config), config),
            },
        RedisMetrics,
        RedisClock,
        RedisGateway,
        ScriptRunner,
        ProjectScan,
        RedisSubscriber,
        RedisTracking,
      ],
      exports: [
        KeyBuilder,
        RedisConnections,
        RedisGateway,
        RedisClock,
        ScriptRunner,
        ProjectScan,
        RedisSubscriber,
        RedisTracking,
      ],
    };
  }
}

function serverLibrary(config: AppConfig): DynamicModule {
  const roles = [
    { namespace: 'state', ...redisOptions(config, 'state', COMMAND_OPTIONS, 'state') },
    ...(config.REDIS_CACHE_URL
      ? [{ namespace: 'cache', ...redisOptions(config, 'cache', COMMAND_OPTIONS, 'cache') }]
      : []),
    { namespace: 'subscriber', ...redisOptions(config, 'state', SUBSCRIBER_OPTIONS, 'subscriber') },
    ...(config.CACHE_L1
      ? [
          { namespace: 'tracked', ...redisOptions(config, 'cache', COMMAND_OPTIONS, 'tracked') },
          { namespace: 'invalidations', ...redisOptions(config, 'cache', SUBSCRIBER_OPTIONS, 'invalidations') },
        ]
      : []),
  ];
  return LibraryModule.forRoot({
    config: roles.map((role) => ({ ...role, onClientCreated: (client: Redis) => attach(client, role.namespace) })),
    errorLog: false,
    // RedisConnections does it: the library waits for a Redis that hangs, and logs a stack for each connection.
    closeClient: false,
    readyLog: false,
  } as Parameters<typeof LibraryModule.forRoot>[0]);
}

function clusterLibrary(config: AppConfig): DynamicModule {
  const roles = [
    { namespace: 'state', ...clusterOptions(config, COMMAND_OPTIONS) },
    { namespace: 'subscriber', ...clusterOptions(config, SUBSCRIBER_OPTIONS) },
  ];
  return ClusterModule.forRoot({
    config: roles.map((role) => ({
      namespace: role.namespace,
      nodes: role.nodes,
      ...role.options,
      onClientCreated: (client: Cluster) => attach(client, role.namespace),
    })),
    errorLog: false,
    closeClient: false,
    readyLog: false,
  } as unknown as Parameters<typeof ClusterModule.forRoot>[0]);
}

function fromServers(service: RedisService, config: AppConfig): RedisConnections {
  const state = service.getOrThrow('state');
  return new RedisConnections(
    state,
    config.REDIS_CACHE_URL ? service.getOrThrow('cache') : state,
    service.getOrThrow('subscriber'),
    config.CACHE_L1
      ? { reads: service.getOrThrow('tracked'), invalidations: service.getOrThrow('invalidations') }
      : undefined,
  );
}

function fromCluster(service: ClusterService, config: AppConfig): RedisConnections {
  // Tracking is a matter of one server; a pair for each of a Cluster, through fail-overs and resharding, is not proven.
  if (config.CACHE_L1) new Logger('Redis').warn('CACHE_L1 has no effect on Redis Cluster');
  const state = service.getOrThrow('state') as unknown as Cluster;
  return new RedisConnections(state, state, service.getOrThrow('subscriber') as unknown as Cluster);
}
