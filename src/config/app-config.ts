import { check } from '../common/validation.js';
import { Environment } from './environment.js';

/** A setting is missing or wrong. The message is one line that names the setting and never shows its value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * The settings of the process, validated and frozen; the table is in `docs/operations.md`.
 * Nothing but {@link loadConfig} reads `process.env`.
 */
export class AppConfig extends Environment {
  /** Whether the process runs in production: secure cookies, no API page by default, no evicting state server. */
  get production(): boolean {
    return this.NODE_ENV === 'production';
  }

  /** Whether the OpenAPI page is served. */
  get docs(): boolean {
    return this.DOCS ?? !this.production;
  }
}

/**
 * @param env the process environment; an empty string counts as not set.
 * @throws ConfigError for the first setting that breaks its rule.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): AppConfig {
  const known = Object.keys(Object.getOwnPropertyDescriptors(new AppConfig()));
  const optional = OPTIONAL.filter((name) => !known.includes(name));
  const given = Object.fromEntries(
    [...known, ...optional].flatMap((name) => (env[name] === undefined || env[name] === '' ? [] : [[name, env[name]]])),
  );
  const config = check(AppConfig, given);
  if (Array.isArray(config)) throw new ConfigError(`${config[0]?.field.split('.')[0]} ${config[0]?.message}.`);
  requireTogether(config);
  return Object.freeze(config);
}

// Class fields without a default do not exist on an instance, so their names stand here.
const OPTIONAL = [
  'REDIS_URL',
  'REDIS_CACHE_URL',
  'REDIS_CLUSTER_NODES',
  'REDIS_SENTINELS',
  'REDIS_SENTINEL_NAME',
  'REDIS_USERNAME',
  'REDIS_PASSWORD',
  'AUTH_JWT_SECRET',
  'AUTH_JWKS_URL',
  'AUTH_ISSUER',
  'AUTH_AUDIENCE',
  'NODE_ENV',
  'METRICS_TOKEN',
  'DOCS',
] as const satisfies readonly (keyof Environment)[];

function requireTogether(config: AppConfig): void {
  const servers = [config.REDIS_URL, config.REDIS_CLUSTER_NODES, config.REDIS_SENTINELS].filter(Boolean).length;
  if (servers === 0) throw new ConfigError('REDIS_URL is required (or REDIS_CLUSTER_NODES, or REDIS_SENTINELS).');
  if (servers > 1)
    throw new ConfigError('REDIS_URL, REDIS_CLUSTER_NODES and REDIS_SENTINELS exclude each other: set one.');
  if (config.REDIS_SENTINELS && !config.REDIS_SENTINEL_NAME) {
    throw new ConfigError('REDIS_SENTINEL_NAME is required with REDIS_SENTINELS.');
  }
  if (!config.AUTH_JWT_SECRET && !config.AUTH_JWKS_URL) {
    throw new ConfigError('AUTH_JWT_SECRET (at least 32 bytes) or AUTH_JWKS_URL is required.');
  }
  if (config.SESSION_TTL_SECONDS > config.SESSION_MAX_SECONDS) {
    throw new ConfigError('SESSION_TTL_SECONDS must not be greater than SESSION_MAX_SECONDS.');
  }
}
