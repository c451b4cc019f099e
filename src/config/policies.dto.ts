import { ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsInt, IsOptional, Max, Min, ValidateNested } from 'class-validator';

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
  @ValidateNested()
  @Type(() => WindowLimits)
  limits: WindowLimits = new WindowLimits();

  /** Token bucket beside the windows. */
  @IsOptional()
  @ValidateNested()
  @Type(() => BucketPolicy)
  bucket?: BucketPolicy;
}
