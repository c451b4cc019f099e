import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import { IsName } from '../../common/names.js';
import { RatePolicy } from '../../config/policies.dto.js';

/** Takes from a rate limit. */
export class ConsumeRateDto {
  /** Tokens to take. */
  @ApiPropertyOptional()
  @IsInt()
  @Min(1)
  @Max(1_000_000_000_000)
  cost: number = 1;

  /** The user whom a policy per user counts; by default the caller. */
  @IsOptional()
  @IsName()
  user?: string;
}

/** A rate limit of the project. */
export class RateLimitDto extends RatePolicy {
  /** What it limits. */
  action!: string;
}

/** Rate limits by name. */
export class RateLimitListDto {
  items!: RateLimitDto[];
  /** Where the next page begins, when there is one. */
  next_cursor?: string;
}

/** How one of several buckets stands. */
export class RateBucketDto {
  /** Tokens in a full bucket. */
  limit!: number;
  /** Seconds in which an empty bucket fills up. */
  window_seconds!: number;
  /** Tokens left, rounded down. */
  remaining!: number;
  /** Seconds until it is full again, rounded up. */
  reset_seconds!: number;
  /** It is the user's. */
  per_user?: boolean;
  /** It refuses nothing, and only counts. */
  dry_run?: boolean;
  /** The dry bucket would have refused this call. */
  would_refuse?: boolean;
}

/** How a rate limit stands after a call; of several buckets the one that decides. */
export class RateLimitStateDto {
  /** Whether the cost was taken. */
  allowed!: boolean;
  /** Tokens in a full bucket. */
  limit!: number;
  /** Tokens left, rounded down. */
  remaining!: number;
  /** Seconds until the bucket is full again, rounded up. */
  reset_seconds!: number;
  /** All buckets of a limit that has several, in the order of its policy. */
  buckets?: RateBucketDto[];
  /** A dry rule would have refused this call. */
  would_refuse?: boolean;
  /** The limit could not be checked and let the call pass; the figures are not known. */
  degraded?: boolean;
}
