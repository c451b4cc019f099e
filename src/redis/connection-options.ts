import type { ClusterOptions, RedisOptions } from 'ioredis';
import type { AppConfig } from '../config/app-config.js';

/** Milliseconds that one Redis call may take before its caller gets `redis_unavailable`. */
export const CALL_TIMEOUT_MS = 250;

/** What a connection is for. `state` and `cache` carry commands, `subscriber` only pub/sub. */
export type RedisRole = 'state' | 'cache';

const retrySoon = (attempt: number): number => Math.min(25 * attempt, 400);

/** Connections fail fast: no queue while offline, no silent second try. Deadlines are per call, see RedisGateway. */
export const COMMAND_OPTIONS: RedisOptions = {
  // RESP3 is ioredis 6's default, but it drops the invalidation pushes that client-side caching needs.
  protocol: 2,
  connectTimeout: 1000,
  keepAlive: 10_000,
  // Back within 2 s of recovery; the default backs off to 5 s.
  retryStrategy: retrySoon,
  // A demoted primary answers READONLY: reconnect, so that DNS or Sentinel can name the new one; do not resend.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
  // A write that was on the wire when the link broke may have run; running it again is the caller's decision.
  autoResendUnfulfilledCommands: false,
  // Without resending, only 0 rejects what was in flight when the link broke. Otherwise ioredis forgets it: its promise never
  // settles.
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
};

/** The subscriber resubscribes itself, because only then it knows from when on it hears everything. */
export const SUBSCRIBER_OPTIONS: RedisOptions = {
  ...COMMAND_OPTIONS,
  autoResubscribe: false,
};

/** Turns the settings into ioredis options for one server, Sentinel included. */
export function redisOptions(config: AppConfig, role: RedisRole, base: RedisOptions, name: string): RedisOptions {
  const credentials = {
    ...(config.REDIS_USERNAME === undefined ? {} : { username: config.REDIS_USERNAME }),
    ...(config.REDIS_PASSWORD === undefined ? {} : { password: config.REDIS_PASSWORD }),
  };
  const common = { ...base, ...credentials, connectionName: `document-api:${name}` };
  if (role === 'cache' && config.REDIS_CACHE_URL) return { ...common, ...fromUrl(config.REDIS_CACHE_URL) };
  if (config.REDIS_SENTINELS) {
    return { ...common, sentinels: config.REDIS_SENTINELS.map(hostPort), name: config.REDIS_SENTINEL_NAME! };
  }
  return { ...common, ...fromUrl(config.REDIS_URL!) };
}

/** Options of a Cluster client: constants are per node, and redirects are followed long enough for a fail-over. */
export function clusterOptions(
  config: AppConfig,
  base: RedisOptions,
): { nodes: { host: string; port: number }[]; options: ClusterOptions } {
  const { enableOfflineQueue = true, retryStrategy: _node, ...redis } = base;
  return {
    nodes: (config.REDIS_CLUSTER_NODES ?? []).map(hostPort),
    options: {
      enableOfflineQueue,
      clusterRetryStrategy: retrySoon,
      slotsRefreshTimeout: 2000,
      slotsRefreshInterval: 5000,
      retryDelayOnFailover: 100,
      maxRedirections: 16,
      redisOptions: {
        ...redis,
        ...(config.REDIS_USERNAME === undefined ? {} : { username: config.REDIS_USERNAME }),
        ...(config.REDIS_PASSWORD === undefined ? {} : { password: config.REDIS_PASSWORD }),
      },
    },
  };
}

function fromUrl(text: string): RedisOptions {
  const url = new URL(text);
  const credentials = {
    ...(url.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
  };
  if (url.protocol === 'unix:') return { path: decodeURIComponent(url.pathname), ...credentials };
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    ...credentials,
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

function hostPort(node: string): { host: string; port: number } {
  const [host, port] = node.split(':') as [string, string];
  return { host, port: Number(port) };
}
