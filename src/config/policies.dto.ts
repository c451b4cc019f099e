import { ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  Max,
  Min,
  ValidateBy,
  ValidateNested,
} from 'class-validator';
import { IsNamedNumbers } from './validators.js';

/** A token bucket: burst `limit`, refilled evenly over the window. */
export class BucketPolicy {
  /** Tokens in a full bucket. */
  @IsInt()
  @Min(1)
  @Max(1_000_000_000_000)
  limit!: number;

  /** Seconds in which an empty bucket fills up. */
  @IsInt()
  @Min(1)
  @Max(31_536_000)
  window_seconds!: number;
}

/** What becomes of a call when Redis gives no answer: `open` lets it pass unchecked, `closed` refuses it. */
export const FAILURE_MODES = ['open', 'closed'] as const;
export type FailureMode = (typeof FAILURE_MODES)[number];

/** One bucket of a rate limit. */
export class RateRule extends BucketPolicy {
  /** Whether each user of the project has a bucket of its own; by default the project has one. */
  @IsOptional()
  @IsBoolean()
  per_user?: boolean;

  /** Whether it refuses nothing, and only counts what it would refuse. */
  @IsOptional()
  @IsBoolean()
  dry_run?: boolean;
}

// Also asked of what is no rule, and refused for that.
const bucketOf = (rule: RateRule | null): string => `${rule?.window_seconds} ${rule?.per_user ?? false}`;

function DiffersFromFirst(): PropertyDecorator {
  return ValidateBy({
    name: 'differsFromFirst',
    validator: {
      validate: (also: unknown, args) =>
        !Array.isArray(also) || also.every((rule: RateRule) => bucketOf(rule) !== bucketOf(args!.object as RateRule)),
      defaultMessage: () => 'also must differ from the first bucket in window_seconds or per_user',
    },
  });
}

/** A rate limit: one bucket, or several that are decided together. */
export class RatePolicy extends RateRule {
  /** Further buckets, per second beside per day say: each call takes from all or from none. No two of the same window. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(5)
  @ArrayUnique(bucketOf, { message: 'also must differ in window_seconds or per_user' })
  @DiffersFromFirst()
  @IsObject({ each: true })
  @ValidateNested({ each: true })
  @Type(() => RateRule)
  also?: RateRule[];

  /** What becomes of a call when Redis gives no answer; `open` by default. */
  @ApiPropertyOptional({ enum: FAILURE_MODES, enumName: 'FailureMode' })
  @IsOptional()
  @IsIn(FAILURE_MODES)
  on_redis_failure?: FailureMode;
}

/** Calendar windows in UTC; a missing one is no limit. */
export class WindowLimits {
  /** Amount per UTC minute. */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  minute?: number;

  /** Amount per UTC hour. */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  hour?: number;

  /** Amount per UTC day. */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  day?: number;

  /** Amount per UTC calendar month. */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  month?: number;
}

/** The limits of one resource: calendar windows, a token bucket, or both. */
export class QuotaPolicy {
  /** Calendar windows in UTC. */
  @ApiPropertyOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => WindowLimits)
  limits: WindowLimits = new WindowLimits();

  /** Token bucket beside the windows. */
  @IsOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => BucketPolicy)
  bucket?: BucketPolicy;

  /**
   * Kinds of use and what one of each weighs, 0 to 1 in thousandths: `{"input": 1, "output": 1, "cached_input": 0.1}`. At most 8.
   * The weighted sum, rounded up, is charged; each kind is counted too.
   */
  @ApiPropertyOptional({ type: 'object', additionalProperties: { type: 'number', minimum: 0, maximum: 1 } })
  @IsOptional()
  @IsWeights()
  kinds?: Readonly<Record<string, number>>;

  /** Whether it refuses nothing, and only counts: what is charged, and what it would refuse. */
  @IsOptional()
  @IsBoolean()
  dry_run?: boolean;

  /** What becomes of a charge when Redis gives no answer; `closed` by default. Reservations are always closed. */
  @ApiPropertyOptional({ enum: FAILURE_MODES, enumName: 'FailureMode' })
  @IsOptional()
  @IsIn(FAILURE_MODES)
  on_redis_failure?: FailureMode;
}

function IsWeights(): PropertyDecorator {
  return IsNamedNumbers(
    'isWeights',
    // Thousandths, so that sums are exact.
    (weight) => weight >= 0 && weight <= 1 && Math.round(weight * 1000) / 1000 === weight,
    'weights from 0 to 1 in thousandths',
  );
}
