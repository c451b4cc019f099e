import { Transform } from 'class-transformer';
import {
  ArrayNotEmpty,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  IsUrl,
  Matches,
  Max,
  Min,
  MinLength,
  ValidateBy,
} from 'class-validator';
import { check } from '../common/validation.js';
import { isName } from '../common/names.js';
import { QuotaPolicy, RatePolicy } from './policies.dto.js';
import { IsRedisUrl, IsTrustProxy } from './validators.js';

type Raw = { value: unknown };

const integer = ({ value }: Raw): unknown =>
  typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
const flag = ({ value }: Raw): unknown => ({ true: true, on: true, false: false, off: false })[String(value)] ?? value;
const list = ({ value }: Raw): unknown =>
  typeof value === 'string'
    ? value
        .split(',')
        .map((item) => item.trim())
        .filter(Boolean)
    : value;

/** A JSON object of policies by name. What does not fit is left as a sentence, which {@link IsPolicies} reports. */
function policies<T extends object>(type: new () => T) {
  return ({ value }: Raw): unknown => {
    if (typeof value !== 'string') return value;
    let parsed: unknown;
    try {
      parsed = JSON.parse(value);
    } catch {
      return 'must be JSON';
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'must be a JSON object';
    const result = new Map<string, T>();
    for (const [name, plain] of Object.entries(parsed)) {
      if (!isName(name)) return `has a name that is not allowed: ${JSON.stringify(name)}`;
      const policy = check(type, plain);
      if (Array.isArray(policy)) return `${name}.${policy[0]?.field} ${policy[0]?.message}`;
      result.set(name, policy);
    }
    return result;
  };
}

function IsPolicies(): PropertyDecorator {
  return ValidateBy({
    name: 'isPolicies',
    validator: {
      validate: (value) => value instanceof Map,
      defaultMessage: (args) => (typeof args?.value === 'string' ? args.value : 'must be a JSON object of policies'),
    },
  });
}

const NODES = /^[^\s,:]+:\d{1,5}$/;

/** The environment as the process got it, converted and validated. Property names are the names of the settings. */
export class Environment {
  @Transform(integer) @IsInt() @Min(0) @Max(65_535) PORT = 5210;
  @IsString() @MinLength(1) HOST = '127.0.0.1';

  @IsOptional() @IsRedisUrl() REDIS_URL?: string;
  @IsOptional() @IsRedisUrl() REDIS_CACHE_URL?: string;
  @IsOptional()
  @Transform(list)
  @ArrayNotEmpty()
  @Matches(NODES, { each: true, message: 'must be host:port[,host:port…]' })
  REDIS_CLUSTER_NODES?: string[];
  @IsOptional()
  @Transform(list)
  @ArrayNotEmpty()
  @Matches(NODES, { each: true, message: 'must be host:port[,host:port…]' })
  REDIS_SENTINELS?: string[];
  @IsOptional() @IsString() @MinLength(1) REDIS_SENTINEL_NAME?: string;
  @IsOptional() @IsString() REDIS_USERNAME?: string;
  @IsOptional() @IsString() REDIS_PASSWORD?: string;
  @Transform(flag) @IsIn([true, false], { message: 'must be true or false' }) REDIS_ALLOW_EVICTION = false;

  @IsOptional()
  @Transform(list)
  @ArrayNotEmpty()
  @MinLength(32, { each: true, message: 'must be secrets of at least 32 bytes each, separated by commas' })
  AUTH_JWT_SECRET?: string[];
  @IsOptional()
  @IsUrl(
    { protocols: ['http', 'https'], require_protocol: true, require_tld: false },
    { message: 'must be an http(s) URL' },
  )
  AUTH_JWKS_URL?: string;
  @IsOptional() @IsString() @MinLength(1) AUTH_ISSUER?: string;
  @IsOptional() @IsString() @MinLength(1) AUTH_AUDIENCE?: string;
  @Transform(flag) @IsIn([true, false], { message: 'must be true or false' }) AUTH_ALLOW_WILDCARD = false;

  @Transform(list)
  @Matches(/^https?:\/\/[^/*]+$/, {
    each: true,
    message: 'must be origins like https://app.example.com, separated by commas',
  })
  CORS_ORIGINS: string[] = [];
  @Transform(integer) @IsInt() @Min(1024) @Max(67_108_864) BODY_LIMIT_BYTES = 2_097_152;
  @IsTrustProxy() TRUST_PROXY = 'off';

  @Transform(integer) @IsInt() @Min(1) @Max(31_536_000) DOCUMENT_TTL_SECONDS = 3600;
  @Transform(integer) @IsInt() @Min(0) CACHE_COMPRESS_MIN_BYTES = 0;
  @Transform(flag) @IsIn([true, false], { message: 'must be off or on' }) CACHE_L1 = false;

  @Transform(policies(RatePolicy))
  @IsPolicies()
  RATE_LIMITS: ReadonlyMap<string, RatePolicy> = defaults(RatePolicy, { api: { limit: 6000, window_seconds: 60 } });
  @Transform(policies(QuotaPolicy))
  @IsPolicies()
  QUOTAS: ReadonlyMap<string, QuotaPolicy> = defaults(QuotaPolicy, {
    llm_tokens: { limits: { day: 2_000_000 }, bucket: { limit: 100_000, window_seconds: 60 } },
    embeddings: { limits: { day: 200_000 } },
  });

  @Transform(integer) @IsInt() @Min(100) @Max(1_000_000) PROGRESS_RETENTION = 20_000;
  @Transform(integer) @IsInt() @Min(65_536) PROGRESS_RETENTION_BYTES = 8_388_608;
  @Transform(integer) @IsInt() @Min(60) @Max(604_800) PROGRESS_RETENTION_SECONDS = 3600;
  @Transform(integer) @IsInt() @Min(1) PROGRESS_MAX_STREAMS = 2000;
  @Transform(integer) @IsInt() @Min(2) @Max(86_400) PROGRESS_STREAM_MAX_SECONDS = 600;
  @Transform(integer) @IsInt() @Min(1) QUEUE_MAX_JOBS = 100_000;
  @Transform(integer) @IsInt() @Min(1024) QUEUE_MAX_BYTES = 268_435_456;
  @Transform(integer) @IsInt() @Min(1) QUEUE_MAX_LEASED = 1000;
  @Transform(integer) @IsInt() @Min(1) @Max(31_536_000) SESSION_TTL_SECONDS = 7200;
  @Transform(integer) @IsInt() @Min(1) @Max(31_536_000) SESSION_MAX_SECONDS = 86_400;

  @IsIn(['fatal', 'error', 'warn', 'info', 'debug'], { message: 'must be fatal, error, warn, info or debug' })
  LOG_LEVEL = 'info';
  @IsOptional() @IsString() NODE_ENV?: string;
  @IsOptional() @IsString() @MinLength(16) METRICS_TOKEN?: string;
  @IsOptional() @Transform(flag) @IsIn([true, false], { message: 'must be on or off' }) DOCS?: boolean;
}

function defaults<T extends object>(type: new () => T, plain: object): ReadonlyMap<string, T> {
  return policies(type)({ value: JSON.stringify(plain) }) as ReadonlyMap<string, T>;
}
