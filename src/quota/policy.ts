import { BucketPolicy, type QuotaPolicy, WindowLimits } from '../config/policies.dto.js';

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

/** What the scripts and the settings hash hold: `day=2000000 bucket=100000/60`. Unknown words are left alone. */
export function bucketText(policy: BucketPolicy): string {
  return `bucket=${policy.limit}/${policy.window_seconds}`;
}

/** As {@link bucketText}; a policy without any rule is the empty text. */
export function quotaText(policy: QuotaPolicy): string {
  const windows = WINDOW_KINDS.flatMap((kind) => {
    const limit = policy.limits[kind];
    return limit === undefined || limit === null ? [] : [`${kind}=${limit}`];
  });
  return [...windows, ...(policy.bucket ? [bucketText(policy.bucket)] : [])].join(' ');
}

/** Reads the text of {@link quotaText} or {@link bucketText}. */
export function parsePolicy(text: string): { limits: WindowLimits; bucket?: BucketPolicy } {
  const limits = new WindowLimits();
  let bucket: BucketPolicy | undefined;
  for (const word of text.split(' ')) {
    const [, name, limit, seconds] = /^([a-z]+)=(\d+)(?:\/(\d+))?$/.exec(word) ?? [];
    if (name === 'bucket')
      bucket = Object.assign(new BucketPolicy(), { limit: Number(limit), window_seconds: Number(seconds) });
    else if (name !== undefined && name in WINDOWS) limits[name as WindowKind] = Number(limit);
  }
  return bucket ? { limits, bucket } : { limits };
}
