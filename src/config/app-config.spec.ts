import { describe, expect, it } from 'vitest';
import { type AppConfig, ConfigError, loadConfig } from './app-config.js';

const SECRET = 'a-secret-of-the-tests-of-at-least-32-bytes';
const REQUIRED = { REDIS_URL: 'redis://127.0.0.1:6379', AUTH_JWT_SECRET: SECRET };

type Env = Record<string, string | undefined>;
const load = (env: Env): AppConfig => loadConfig({ ...REQUIRED, ...env });

/** The one line with which the start stops. */
function refusal(env: Env): string {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`);
}

/** A setting: its default, good values with what becomes of them, and wrong ones. */
type Row = readonly [name: keyof AppConfig, fallback: unknown, good: [string, unknown][], wrong: string[]];

const integer = (name: keyof AppConfig, fallback: number, good: number, ...wrong: string[]): Row => [
  name,
  fallback,
  [[String(good), good]],
  ['1.5', '1e3', 'x1', ...wrong],
];

const asItIs = (...values: string[]): [string, unknown][] => values.map((value) => [value, value]);

const server = (name: keyof AppConfig, fallback?: string): Row => [
  name,
  fallback,
  asItIs('redis://api:p%40ss@host:1', 'rediss://[::1]:1/', 'unix:///run/redis.sock'),
  // prettier-ignore
  ['host:1', 'http://host:1', 'redis://', 'redis://host:70000', 'redis://u:%zz@host', 'redis://host/3', 'redis://u:p/w@host'],
];

const SETTINGS: readonly Row[] = [
  integer('PORT', 5210, 0, '-1', '65536'),
  ['HOST', '127.0.0.1', [['0.0.0.0', '0.0.0.0']], []],
  server('REDIS_URL', REQUIRED.REDIS_URL),
  server('REDIS_CACHE_URL'),
  ['REDIS_SENTINEL_NAME', undefined, [['main', 'main']], []],
  ['REDIS_USERNAME', undefined, [['api', 'api']], []],
  ['REDIS_PASSWORD', undefined, [['secret', 'secret']], []],
  [
    'REDIS_ALLOW_EVICTION',
    false,
    [
      ['true', true],
      ['off', false],
    ],
    ['yes', 'constructor'],
  ],
  ['AUTH_JWT_SECRET', [SECRET], [[`${SECRET},${SECRET}2`, [SECRET, `${SECRET}2`]]], ['short', `${SECRET},short`, ',']],
  ['AUTH_JWKS_URL', undefined, [['http://keys:8080/jwks', 'http://keys:8080/jwks']], ['keys', 'file:///keys']],
  ['AUTH_ISSUER', undefined, [['https://issuer', 'https://issuer']], []],
  ['AUTH_AUDIENCE', undefined, [['documents', 'documents']], []],
  [
    'AUTH_ALLOW_WILDCARD',
    false,
    [
      ['true', true],
      ['on', true],
    ],
    ['1'],
  ],
  [
    'CORS_ORIGINS',
    [],
    [['https://a.test, http://b.test:1', ['https://a.test', 'http://b.test:1']]],
    ['*', 'https://*.a.test', 'https://a.test/', 'a.test'],
  ],
  integer('BODY_LIMIT_BYTES', 2_097_152, 1024, '1023', '67108865'),
  [
    'TRUST_PROXY',
    'off',
    asItIs('on', '2', 'loopback', '10.0.0.0/8, ::1', 'fe80::/10'),
    ['yes', '1.2.3', '10.0.0.0/33', '10.0.0.0/', 'abc', '1000'],
  ],
  integer('DOCUMENT_TTL_SECONDS', 3600, 60, '0', '-1'),
  integer('CACHE_COMPRESS_MIN_BYTES', 0, 2048, '-1'),
  [
    'CACHE_L1',
    false,
    [
      ['on', true],
      ['off', false],
    ],
    ['maybe'],
  ],
  integer('PROGRESS_RETENTION', 20_000, 100, '99'),
  integer('PROGRESS_RETENTION_BYTES', 8_388_608, 65_536, '65535'),
  integer('PROGRESS_RETENTION_SECONDS', 3600, 60, '59'),
  integer('PROGRESS_MAX_STREAMS', 2000, 1, '0'),
  integer('PROGRESS_STREAM_MAX_SECONDS', 600, 2, '1', '86401'),
  integer('QUEUE_MAX_JOBS', 100_000, 1, '0'),
  integer('QUEUE_MAX_BYTES', 268_435_456, 1024, '1023'),
  integer('QUEUE_MAX_LEASED', 1000, 1, '0'),
  integer('SESSION_TTL_SECONDS', 7200, 60, '0'),
  integer('SESSION_MAX_SECONDS', 86_400, 7200, '0'),
  ['LOG_LEVEL', 'info', [['debug', 'debug']], ['loud']],
  ['NODE_ENV', undefined, [['production', 'production']], []],
  ['METRICS_TOKEN', undefined, [['a-token-of-16-ch', 'a-token-of-16-ch']], ['short']],
  [
    'DOCS',
    undefined,
    [
      ['on', true],
      ['off', false],
    ],
    ['maybe'],
  ],
];

describe('the settings', () => {
  it.each(SETTINGS.map(([name, fallback]) => [name, fallback] as const))(
    '%s is %j when it is not set, or set to nothing',
    (name, fallback) => {
      expect(load({})[name]).toEqual(fallback);
      expect(load(name in REQUIRED ? {} : { [name]: '' })[name]).toEqual(fallback);
    },
  );

  it.each(SETTINGS.flatMap(([name, , good]) => good.map(([text, value]) => [name, text, value] as const)))(
    '%s takes %s',
    (name, text, value) => {
      const others = name === 'SESSION_MAX_SECONDS' ? { SESSION_TTL_SECONDS: '60' } : {};
      expect(load({ ...others, [name]: text })[name]).toEqual(value);
    },
  );

  it.each(SETTINGS.flatMap(([name, , , wrong]) => wrong.map((text) => [name, text] as const)))(
    '%s refuses %s in one line that names it and does not show the value',
    (name, text) => {
      const message = refusal({ [name]: text });
      expect(message).toMatch(new RegExp(`^${name} (must|should) .+\\.$`));
      expect(message).not.toContain('\n');
      // A short value may be a word of the sentence by chance; padded, it is not found.
      expect(message.slice(name.length)).not.toContain(text.padEnd(9));
    },
  );

  it('has a line above for each setting but the lists of servers and the policies', () => {
    const config = load({});
    const listed = new Set<string>(SETTINGS.map(([name]) => name));
    const known = Object.keys(config).filter((name) => !listed.has(name));
    expect(known.sort()).toEqual(['QUOTAS', 'RATE_LIMITS']);
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(load({}))).toBe(true);
  });

  it('leaves out what is no setting', () => {
    expect(load({ PATH: '/bin', AUTH_EXTRA: 'x' })).not.toHaveProperty('PATH');
  });
});

describe('the Redis servers', () => {
  const without = { REDIS_URL: undefined };

  it('must be named one way, and only one', () => {
    expect(refusal(without)).toMatch(/^REDIS_URL is required/);
    expect(refusal({ REDIS_CLUSTER_NODES: 'a:1' })).toContain('REDIS_CLUSTER_NODES');
    expect(refusal({ ...without, REDIS_CLUSTER_NODES: 'a:1', REDIS_SENTINELS: 'a:1' })).toContain('REDIS_SENTINELS');
    expect(refusal({ ...without, REDIS_SENTINELS: 'a:1' })).toMatch(/^REDIS_SENTINEL_NAME is required/);
  });

  it('may be a Cluster or Sentinels', () => {
    expect(load({ ...without, REDIS_CLUSTER_NODES: 'a:1, b:2' }).REDIS_CLUSTER_NODES).toEqual(['a:1', 'b:2']);
    const sentinels = load({ ...without, REDIS_SENTINELS: 'a:1', REDIS_SENTINEL_NAME: 'main' });
    expect(sentinels.REDIS_SENTINELS).toEqual(['a:1']);
  });

  it.each(['a', 'a:b', 'redis://a:1', ','])('are host:port, not %s', (nodes) => {
    expect(refusal({ ...without, REDIS_CLUSTER_NODES: nodes })).toMatch(/^REDIS_CLUSTER_NODES (must|should) /);
    expect(refusal({ ...without, REDIS_SENTINELS: nodes })).toMatch(/^REDIS_SENTINELS (must|should) /);
  });
});

describe('what belongs together', () => {
  it('is a secret or a JWKS to check tokens with', () => {
    expect(refusal({ AUTH_JWT_SECRET: undefined })).toMatch(/^AUTH_JWT_SECRET .* or AUTH_JWKS_URL is required\.$/);
    expect(load({ AUTH_JWT_SECRET: undefined, AUTH_JWKS_URL: 'https://keys/jwks' }).AUTH_JWT_SECRET).toBeUndefined();
  });

  it('is a session that slides no longer than it lasts', () => {
    expect(refusal({ SESSION_TTL_SECONDS: '100', SESSION_MAX_SECONDS: '99' })).toMatch(/^SESSION_TTL_SECONDS must not/);
  });

  it('is the API page, served unless in production, and as DOCS says', () => {
    expect([load({}).docs, load({ NODE_ENV: 'production' }).docs]).toEqual([true, false]);
    expect([load({ DOCS: 'off' }).docs, load({ NODE_ENV: 'production', DOCS: 'on' }).docs]).toEqual([false, true]);
  });
});

describe('the policies', () => {
  it('have the defaults of the contract', () => {
    const { RATE_LIMITS, QUOTAS } = load({});
    expect(Object.fromEntries(RATE_LIMITS)).toEqual({ api: { limit: 6000, window_seconds: 60 } });
    expect(Object.fromEntries(QUOTAS)).toEqual({
      llm_tokens: { limits: { day: 2_000_000 }, bucket: { limit: 100_000, window_seconds: 60 } },
      embeddings: { limits: { day: 200_000 } },
    });
  });

  it('replace the defaults whole', () => {
    const { RATE_LIMITS, QUOTAS } = load({
      RATE_LIMITS: '{"chat":{"limit":5,"window_seconds":1}}',
      QUOTAS: '{"requests":{"limits":{"month":9}},"x":{}}',
    });
    expect([...RATE_LIMITS.keys()]).toEqual(['chat']);
    expect(Object.fromEntries(QUOTAS)).toEqual({ requests: { limits: { month: 9 } }, x: { limits: {} } });
    expect(load({ RATE_LIMITS: '{}' }).RATE_LIMITS.size).toBe(0);
  });

  it.each([
    ['RATE_LIMITS', '{', 'must be JSON'],
    ['RATE_LIMITS', '[]', 'must be a JSON object'],
    ['RATE_LIMITS', 'null', 'must be a JSON object'],
    ['RATE_LIMITS', '{"a b":{"limit":1,"window_seconds":1}}', 'name'],
    ['RATE_LIMITS', '{"chat":5}', 'chat'],
    ['RATE_LIMITS', '{"chat":{"limit":1}}', 'chat.window_seconds'],
    ['RATE_LIMITS', '{"chat":{"limit":0,"window_seconds":1}}', 'chat.limit'],
    ['RATE_LIMITS', '{"chat":{"limit":1.5,"window_seconds":1}}', 'chat.limit'],
    ['RATE_LIMITS', '{"chat":{"limit":"1","window_seconds":1}}', 'chat.limit'],
    ['RATE_LIMITS', '{"chat":{"limit":1,"window_seconds":1,"per":"user"}}', 'chat.per'],
    ['QUOTAS', '{"llm_tokens":{"limits":{"week":1}}}', 'llm_tokens.limits.week'],
    ['QUOTAS', '{"llm_tokens":{"limits":{"day":-1}}}', 'llm_tokens.limits.day'],
    ['QUOTAS', '{"llm_tokens":{"bucket":{"limit":1}}}', 'llm_tokens.bucket.window_seconds'],
  ])('%s=%s is refused, and told where', (name, text, where) => {
    const message = refusal({ [name]: text });
    expect(message).toMatch(new RegExp(`^${name} .*\\.$`));
    expect(message).toContain(where);
    expect(message).not.toContain('\n');
  });
});
