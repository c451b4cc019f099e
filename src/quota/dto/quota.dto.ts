import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsInt,
  IsOptional,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import { IsName } from '../../common/names.js';
import { IfGiven, IsKinds, OrKinds } from './kinds.js';
import { IsMoment } from './moment.js';
import { RateLimitStateDto } from './rate-limit.dto.js';

/** Charges one resource. */
export class ConsumeQuotaDto {
  /** Amount to charge; 0 only looks. May be left out where `kinds` tell what was used. */
  @OrKinds()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  amount?: number;

  /** Counts by kind, beside `amount`: the sum, weighed as the policy says and rounded up, is charged, and each is counted. */
  @IsKinds()
  kinds?: Record<string, number>;
}

/** One item: `resource` and `amount`, or `action` and `cost`. */
export class ChargeItemDto {
  /** A quota. */
  @IsOptional()
  @IsName()
  resource?: string;

  /** Amount to charge to the resource. */
  @IfGiven()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  amount?: number;

  /** Counts by kind of the resource, beside `amount`. */
  @IsKinds()
  kinds?: Record<string, number>;

  /** A rate limit. */
  @IsOptional()
  @IsName()
  action?: string;

  /** Tokens to take from the rate limit; 1 by default. */
  @IfGiven()
  @IsInt()
  @Min(1)
  @Max(1_000_000_000_000)
  cost?: number;
}

/** Charges several quotas and rate limits: all or nothing. */
export class ConsumeAllDto {
  /** What to charge; the same name twice is summed. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(20)
  @ValidateNested({ each: true })
  @Type(() => ChargeItemDto)
  items!: ChargeItemDto[];

  /** The user whom rate limits per user count; by default the caller. */
  @IsOptional()
  @IsName()
  user?: string;
}

/** A calendar window as it stands. */
export class QuotaWindowDto {
  /** Amount per window. */
  limit!: number;
  /** Charged in this window; more than the limit only by overrun. */
  used!: number;
  /** Held by open reservations that were made in this window. */
  held!: number;
  /** What may still be charged or held. */
  remaining!: number;
  /** End of the window: RFC 3339, UTC. */
  resets_at!: string;
}

/** The limited calendar windows of a resource. */
export class QuotaWindowsDto {
  /** The current UTC minute. */
  minute?: QuotaWindowDto;
  /** The current UTC hour. */
  hour?: QuotaWindowDto;
  /** The current UTC day. */
  day?: QuotaWindowDto;
  /** The current UTC calendar month. */
  month?: QuotaWindowDto;
}

/** A token bucket as it stands. */
export class QuotaBucketDto {
  /** Tokens in a full bucket. */
  limit!: number;
  /** Seconds in which an empty bucket fills up. */
  window_seconds!: number;
  /** Tokens left, rounded down. */
  remaining!: number;
}

/** A quota as it stands. */
export class QuotaDto {
  /** What is limited. */
  resource!: string;
  /** The limited windows. */
  windows!: QuotaWindowsDto;
  /** The token bucket beside the windows, when there is one. */
  bucket?: QuotaBucketDto;
  /** The quota refuses nothing, and only counts. */
  dry_run?: boolean;
  /** The dry quota would have refused this call. */
  would_refuse?: boolean;
  /** Redis gave no answer, and the charge passed uncounted: the policy says `open`. */
  degraded?: boolean;
}

/** Quotas by name. */
export class QuotaListDto {
  items!: QuotaDto[];
  /** Where the next page begins, when there is one. */
  next_cursor?: string;
}

/** How a rate limit stands that was charged together with others. */
export class ChargedRateLimitDto extends RateLimitStateDto {
  /** Its name. */
  action!: string;
}

/** How the items stand after they were charged, in their order. */
@ApiExtraModels(QuotaDto, ChargedRateLimitDto)
export class ChargedDto {
  /** The state of each item: as `GET /quotas/{resource}`, or of a rate limit. */
  @ApiProperty({
    type: 'array',
    items: { oneOf: [{ $ref: getSchemaPath(QuotaDto) }, { $ref: getSchemaPath(ChargedRateLimitDto) }] },
  })
  items!: (QuotaDto | ChargedRateLimitDto)[];
}

/** Lengths of the windows of a usage series. */
export const GRANULARITIES = ['minute', 'hour', 'day'] as const;

/** A part of a usage series: of at most 1,500 windows, not paged. */
export class UsageQueryDto {
  /** Length of the windows. Minutes are kept for 3 hours, hours for 3 days, days for 93 days. */
  @IsIn(GRANULARITIES)
  granularity!: (typeof GRANULARITIES)[number];

  /** The first moment: RFC 3339, a date stands for its first moment in UTC. By default an hour, a day or 30 days before `to`. */
  @IsOptional()
  @IsMoment()
  from?: string;

  /** The moment after the last one: RFC 3339. By default now. */
  @IsOptional()
  @IsMoment()
  to?: string;
}

/** What was charged in one window. */
export class UsagePointDto {
  /** Start of the window: RFC 3339, UTC. */
  start!: string;
  /** Charged in it. */
  used!: number;
  /** Counts by kind, before weighing; absent where no kind was charged. */
  @ApiPropertyOptional({ type: 'object', additionalProperties: { type: 'integer' } })
  kinds?: Readonly<Record<string, number>>;
}

/** A usage series: the same counters as the limits. */
export class UsageDto {
  resource!: string;
  @ApiProperty({ enum: GRANULARITIES })
  granularity!: (typeof GRANULARITIES)[number];
  /** Every window of the range, oldest first; those without use too. */
  items!: UsagePointDto[];
}
