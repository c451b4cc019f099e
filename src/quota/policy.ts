import { Lru } from '../common/lru.js';
import { FAILURE_MODES, type FailureMode, type QuotaPolicy, RatePolicy, RateRule } from '../config/policies.dto.js';

const SECOND = 1000;
const DAY = 86_400 * SECOND;

interface Window {
  /** The start, in Unix ms, of each window that begins in [from, to), and of the one in which `from` lies. */
  readonly starts: (from: number, to: number) => number[];
  /** No window is longer. */
  readonly longestMs: number;
  /** How long its cell outlives a window at least (`KEEP_SECONDS` in the scripts). */
  readonly keptMs: number;
}

const even = (lengthMs: number, keptMs: number): Window => ({
  longestMs: lengthMs,
  keptMs,
  starts: (from, to) => {
    const first = from - (from % lengthMs);
    return Array.from({ length: Math.max(0, Math.ceil((to - first) / lengthMs)) }, (_, i) => first + i * lengthMs);
  },
});

/** Calendar windows in UTC, in the order in which the scripts number them from 1. */
export const WINDOWS = {
  minute: even(60 * SECOND, 10_800 * SECOND),
  hour: even(3600 * SECOND, 3 * DAY),
  day: even(DAY, 93 * DAY),
  month: {
    longestMs: 31 * DAY,
    keptMs: 93 * DAY,
    starts: (from: number, to: number) => {
      const starts: number[] = [];
      const date = new Date(from);
      for (let month = date.getUTCMonth(); ; month += 1) {
        const start = Date.UTC(date.getUTCFullYear(), month);
        if (start >= to) return starts;
        starts.push(start);
      }
    },
  },
} as const satisfies Record<string, Window>;

export type WindowKind = keyof typeof WINDOWS;
export const WINDOW_KINDS = Object.keys(WINDOWS) as WindowKind[];

/** What a hold that nobody ends is charged with when it expires: what was reported, all that was held, or nothing. */
export const EXPIRY_POLICIES = ['charge_reported', 'charge', 'refund'] as const;
export type ExpiryPolicy = (typeof EXPIRY_POLICIES)[number];

/** One bucket of an action. */
export interface RateBucket {
  readonly limit: number;
  readonly windowSeconds: number;
  readonly perUser: boolean;
  readonly dry: boolean;
}

/** A policy as it is decided by. */
export interface Rules {
  readonly limits: Readonly<Partial<Record<WindowKind, number>>>;
  /** Of an action one or more, of a resource one at most. */
  readonly buckets: readonly RateBucket[];
  /** Those of them that the project has, whoever its users are. */
  readonly shared: readonly RateBucket[];
  /** What one of each kind weighs, in thousandths. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Of a resource: it only counts. */
  readonly dry: boolean;
  /** What becomes of a call when Redis gives no answer, where the policy says it. */
  readonly onFailure?: FailureMode;
  /** The rules of a resource as its scripts read them (`read_rules` of lua/include/ledger.lua). */
  readonly text: string;
}

/** What the settings hash holds: `bucket=100/60 bucket=5/1:user:dry closed`. Unknown words are left alone. */
export function rateText(policy: RatePolicy): string {
  const buckets = [policy, ...(policy.also ?? [])].map(
    ({ limit, window_seconds, per_user, dry_run }) =>
      `bucket=${limit}/${window_seconds}${per_user ? ':user' : ''}${dry_run ? ':dry' : ''}`,
  );
  return [...buckets, ...(policy.on_redis_failure ? [policy.on_redis_failure] : [])].join(' ');
}

/** As {@link rateText}: `day=2000 bucket=100/60 kind=input*1000 dry open`; a policy without any rule is the empty text. */
export function quotaText(policy: QuotaPolicy): string {
  const windows = WINDOW_KINDS.flatMap((kind) => {
    const limit = policy.limits[kind];
    return limit === undefined || limit === null ? [] : [`${kind}=${limit}`];
  });
  return [
    ...windows,
    ...(policy.bucket ? [`bucket=${policy.bucket.limit}/${policy.bucket.window_seconds}`] : []),
    ...Object.entries(policy.kinds ?? {}).map(([kind, weight]) => `kind=${kind}*${Math.round(weight * 1000)}`),
    ...(policy.dry_run ? ['dry'] : []),
    ...(policy.on_redis_failure ? [policy.on_redis_failure] : []),
  ].join(' ');
}

// Most projects live by the same few policies.
const parsed = new Lru<string, Rules>(1000);

/** Reads the text of {@link quotaText} or {@link rateText}. */
export function readPolicy(text: string): Rules {
  const known = parsed.get(text);
  if (known) return known;
  const limits: Partial<Record<WindowKind, number>> = {};
  const buckets: RateBucket[] = [];
  const kinds = new Map<string, number>();
  const words = text.split(' ');
  for (const word of words) {
    const [, name = '', value = ''] = /^([a-z]+)=(.+)$/.exec(word) ?? [];
    if (name === 'bucket') {
      const [, limit, seconds, flags = ''] = /^(\d+)\/(\d+)(.*)$/.exec(value) ?? [];
      buckets.push({
        limit: Number(limit),
        windowSeconds: Number(seconds),
        perUser: flags.includes(':user'),
        dry: flags.includes(':dry'),
      });
    } else if (name === 'kind') kinds.set(value.slice(0, value.lastIndexOf('*')), Number(/\d+$/.exec(value)?.[0]));
    else if (name in WINDOWS) limits[name as WindowKind] = Number(value);
  }
  const dry = words.includes('dry');
  const onFailure = FAILURE_MODES.find((mode) => words.includes(mode));
  const [bucket] = buckets;
  const rules: Rules = {
    limits,
    buckets,
    shared: buckets.filter(({ perUser }) => !perUser),
    kinds,
    dry,
    ...(onFailure ? { onFailure } : {}),
    text: [
      ...WINDOW_KINDS.map((kind) => limits[kind] ?? ''),
      bucket?.limit ?? '',
      bucket?.windowSeconds ?? '',
      dry ? 1 : 0,
    ].join('/'),
  };
  parsed.set(text, rules);
  return rules;
}

/** The policy of an action in the form of the API. */
export function ratePolicyView(text: string): RatePolicy {
  const { buckets, onFailure } = readPolicy(text);
  const [first, ...also] = buckets.map(({ limit, windowSeconds, perUser, dry }) =>
    Object.assign(new RateRule(), {
      limit,
      window_seconds: windowSeconds,
      ...(perUser ? { per_user: true } : {}),
      ...(dry ? { dry_run: true } : {}),
    }),
  );
  return Object.assign(new RatePolicy(), first, {
    ...(also.length > 0 ? { also } : {}),
    ...(onFailure ? { on_redis_failure: onFailure } : {}),
  });
}

/** What is charged for counts of kinds: their weighted sum, rounded up; thousandths keep it exact. */
export function weighed(counts: Readonly<Record<string, number>>, weights: ReadonlyMap<string, number>): number {
  const thousandths = Object.entries(counts).reduce(
    (sum, [kind, count]) => sum + count * (weights.get(kind) ?? 1000),
    0,
  );
  return Math.ceil(thousandths / 1000);
}
