import { rfc3339 } from '../common/time.js';
import { WINDOW_KINDS, type WindowKind } from './policy.js';

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

/** All rules of one action or resource. An action has a bucket and no windows. */
export interface RulesState {
  readonly windows: readonly WindowState[];
  readonly bucket?: BucketState;
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
}

/** The rules of one item after a charge. `degraded`: a rate limit passed unchecked, because Redis gave no answer. */
export interface ItemState {
  readonly item: RateItem | QuotaItem;
  readonly state: RulesState;
  readonly degraded?: true;
}

const WINDOW_LENGTH = 6;
/** Figures that `report_bucket` of the scripts writes. */
export const BUCKET_LENGTH = 5;

/** Reads what `report_ledger` of the scripts wrote: numbered windows, then after a 0 the bucket. */
export function readRules(report: readonly number[]): RulesState {
  const windows: WindowState[] = [];
  for (let i = 0; i < report.length; i += WINDOW_LENGTH) {
    const kind = WINDOW_KINDS[report[i]! - 1];
    if (kind === undefined) return { windows, bucket: readBucket(report, i + 1) };
    windows.push({
      kind,
      limit: report[i + 1]!,
      used: report[i + 2]!,
      held: report[i + 3]!,
      resetsAt: report[i + 4]!,
      retryMs: report[i + 5]!,
    });
  }
  return { windows };
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

/** A rate limit in the form of the API. `degraded`: Redis did not answer, and the figures are not known. */
export function rateView(bucket: BucketState | undefined, allowed: boolean) {
  return {
    allowed,
    limit: bucket?.limit ?? 0,
    remaining: bucket?.remaining ?? 0,
    reset_seconds: Math.ceil((bucket?.resetMs ?? 0) / 1000),
    ...(bucket ? {} : { degraded: true }),
  };
}

/** A quota in the form of the API. */
export function quotaView(resource: string, { windows, bucket }: RulesState) {
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
  };
}

/** One item of a call in the form of the API. */
export function itemView({ item, state }: ItemState, allowed: boolean) {
  return 'action' in item
    ? { action: item.action, ...rateView(state.bucket, allowed) }
    : quotaView(item.resource, state);
}
