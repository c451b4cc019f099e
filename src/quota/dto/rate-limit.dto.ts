import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, Max, Min } from 'class-validator';
import { BucketPolicy } from '../../config/policies.dto.js';

/** Takes from a rate limit. */
export class ConsumeRateDto {
  /** Tokens to take. */
  @ApiPropertyOptional()
  @IsInt()
  @Min(1)
  @Max(1_000_000_000_000)
  cost: number = 1;
}

/** A rate limit of the project. */
export class RateLimitDto extends BucketPolicy {
  /** What it limits. */
  action!: string;
}

/** Rate limits by name. */
export class RateLimitListDto {
  items!: RateLimitDto[];
  /** Where the next page begins, when there is one. */
  next_cursor?: string;
}

/** How a rate limit stands after a call. */
export class RateLimitStateDto {
  /** Whether the cost was taken. */
  allowed!: boolean;
  /** Tokens in a full bucket. */
  limit!: number;
  /** Tokens left, rounded down. */
  remaining!: number;
  /** Seconds until the bucket is full again, rounded up. */
  reset_seconds!: number;
  /** The limit could not be checked and let the call pass; the figures are not known. */
  degraded?: boolean;
}
