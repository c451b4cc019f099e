import { rfc3339 } from '../common/time.js';
import { type RateBucket, WINDOW_KINDS, type WindowKind } from './policy.js';

/** A token bucket as it stood when it was asked. */
export interface BucketState {
  readonly limit: number;
  readonly windowSeconds: number;
  /** Whole tokens left, rounded down. */
  readonly remaining: number;
  /** Until it is full again, in ms. */
  readonly resetMs: number;
  /** Until what was refused can pass, in ms; 0 when this rule did not refuse. */
  readonly retryMs: number;
  /** It is one user's. */
  readonly perUser?: true;
  /** It refuses nothing: `retryMs` says what it would have refused. */
  readonly dry?: true;
  /** Of a resource: open holds weigh in it, and may give something back at any moment. */
  readonly held?: true;
}

/** A calendar window as it stood when it was asked. */
export interface WindowState {
  readonly kind: WindowKind;
  readonly limit: number;
  /** Charged in this window; more than the limit only by overrun. */
  readonly used: number;
  /** Held by open reservations made in this window. */
  readonly held: number;
  /** Its end, in Unix ms. */
  readonly resetsAt: number;
  /** Until what was refused can pass, in ms; 0 when this rule did not refuse. */
  readonly retryMs: number;
}

/** All rules of one action or resource. An action has buckets and no windows. */
export interface RulesState {
  readonly windows: readonly WindowState[];
  /** Of several the one that decides: it takes longest to give way, or leaves least. */
  readonly bucket?: BucketState;
  /** All buckets of an action that has several, in the order of its policy. */
  readonly buckets?: readonly BucketState[];
  /** The resource only counts: each `retryMs` says what would have been refused. */
  readonly dry?: true;
}

/** A rate limit to take from. */
export interface RateItem {
  readonly action: string;
  readonly cost: number;
}

/** A quota to charge. */
export interface QuotaItem {
  readonly resource: string;
  readonly amount: number;
  /** Counts by kind, whose weighted sum, rounded up, is charged beside `amount`. */
  readonly kinds?: Readonly<Record<string, number>> | undefined;
}

/** The rules of one item after a charge. `degraded`: it passed unchecked, because Redis gave no answer. */
export interface ItemState {
  readonly item: RateItem | QuotaItem;
  readonly state: RulesState;
  readonly degraded?: true;
}

const WINDOW_LENGTH = 6;

/** Reads what `report_ledger` of the scripts wrote: numbered windows, then after a 0 the bucket. */
export function readRules(report: readonly number[], dry = false): RulesState {
  const windows: WindowState[] = [];
  let bucket: BucketState | undefined;
  for (let i = 0; i < report.length; i += WINDOW_LENGTH) {
    const kind = WINDOW_KINDS[report[i]! - 1];
    if (kind === undefined) {
      bucket = { ...readBucket(report, i + 1), ...(report[i + 6] === 1 ? { held: true } : {}) };
      break;
    }
    windows.push({
      kind,
      limit: report[i + 1]!,
      used: report[i + 2]!,
      held: report[i + 3]!,
      resetsAt: report[i + 4]!,
      retryMs: report[i + 5]!,
    });
  }
  return { windows, ...(bucket ? { bucket } : {}), ...(dry ? { dry } : {}) };
}

/** Reads what `report_bucket` of the scripts wrote, from position `at` on. */
export function readBucket(report: readonly number[], at: number): BucketState {
  return {
    limit: report[at]!,
    windowSeconds: report[at + 1]!,
    remaining: report[at + 2]!,
    resetMs: report[at + 3]!,
    retryMs: report[at + 4]!,
  };
}

/** The state of a rate limit's bucket. */
export function bucketState(rule: RateBucket, remaining: number, resetMs: number, retryMs: number): BucketState {
  const { limit, windowSeconds } = rule;
  const state: BucketState = { limit, windowSeconds, remaining, resetMs, retryMs };
  if (!rule.perUser && !rule.dry) return state;
  return { ...state, ...(rule.perUser ? { perUser: true } : {}), ...(rule.dry ? { dry: true } : {}) };
}

/** The state of an action by its buckets. */
export function rateState(buckets: readonly BucketState[]): RulesState {
  if (buckets.length < 2) return buckets[0] ? { windows: [], bucket: buckets[0] } : { windows: [] };
  return { windows: [], bucket: buckets.reduce((a, b) => (decides(b, a) ? b : a)), buckets };
}

function decides(a: BucketState, b: BucketState): boolean {
  if (a.dry !== b.dry) return b.dry === true;
  return a.retryMs === b.retryMs ? a.remaining < b.remaining : a.retryMs > b.retryMs;
}

/** The buckets of an action. */
export function bucketsOf({ bucket, buckets }: RulesState): readonly BucketState[] {
  return buckets ?? (bucket ? [bucket] : []);
}

/** What a bucket is called: as its action, the further ones with their window, and `.user` where it is one user's. */
export function bucketName(action: string, state: RulesState, i: number): string {
  const bucket = bucketsOf(state)[i];
  return i === 0 || !bucket ? action : `${action}.${bucket.windowSeconds}${bucket.perUser ? '.user' : ''}`;
}

/** Whether dry rules would have refused. */
export function wouldRefuse(state: RulesState): boolean {
  const { windows, dry } = state;
  return (
    (dry === true && windows.some(({ retryMs }) => retryMs > 0)) ||
    bucketsOf(state).some((bucket) => (dry || bucket.dry) && bucket.retryMs > 0)
  );
}

/** A rate limit in the form of the API. `degraded`: Redis did not answer, and the figures are not known. */
export function rateView(state: RulesState, allowed: boolean, degraded = false) {
  const { bucket, buckets } = state;
  return {
    allowed,
    limit: bucket?.limit ?? 0,
    remaining: bucket?.remaining ?? 0,
    reset_seconds: Math.ceil((bucket?.resetMs ?? 0) / 1000),
    ...(buckets ? { buckets: buckets.map(bucketView) } : {}),
    ...(wouldRefuse(state) ? { would_refuse: true } : {}),
    ...(degraded ? { degraded } : {}),
  };
}

function bucketView({ limit, windowSeconds, remaining, resetMs, perUser, dry, retryMs }: BucketState) {
  return {
    limit,
    window_seconds: windowSeconds,
    remaining,
    reset_seconds: Math.ceil(resetMs / 1000),
    ...(perUser ? { per_user: true } : {}),
    ...(dry ? { dry_run: true } : {}),
    ...(dry && retryMs > 0 ? { would_refuse: true } : {}),
  };
}

/** A quota in the form of the API. */
export function quotaView(resource: string, state: RulesState) {
  const { windows, bucket, dry } = state;
  return {
    resource,
    windows: Object.fromEntries(
      windows.map(({ kind, limit, used, held, resetsAt }) => [
        kind,
        { limit, used, held, remaining: Math.max(0, limit - used - held), resets_at: rfc3339(resetsAt) },
      ]),
    ),
    ...(bucket
      ? { bucket: { limit: bucket.limit, window_seconds: bucket.windowSeconds, remaining: bucket.remaining } }
      : {}),
    ...(dry ? { dry_run: true } : {}),
    ...(wouldRefuse(state) ? { would_refuse: true } : {}),
  };
}

/** One item of a call in the form of the API. */
export function itemView({ item, state, degraded }: ItemState, allowed: boolean) {
  if ('action' in item) return { action: item.action, ...rateView(state, allowed, degraded) };
  return { ...quotaView(item.resource, state), ...(degraded ? { degraded } : {}) };
}
