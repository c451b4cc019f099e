import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsInt, Max, Min } from 'class-validator';
import { IsKinds, OrKinds } from './kinds.js';
import { EXPIRY_POLICIES, type ExpiryPolicy } from '../policy.js';

/** Holds an amount of a resource. */
export class ReserveDto {
  /** The estimate. */
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  amount!: number;

  /** Seconds until the hold expires; each report of its use starts them again, for a day at most in all. */
  @ApiPropertyOptional()
  @IsInt()
  @Min(1)
  @Max(86_400)
  ttl_seconds: number = 300;

  /** What it is charged with when it expires: what was reported, all that was held, or nothing. */
  @ApiPropertyOptional({ enum: EXPIRY_POLICIES, enumName: 'ExpiryPolicy' })
  @IsIn(EXPIRY_POLICIES)
  on_expiry: ExpiryPolicy = 'charge_reported';
}

/** A hold. */
export class ReservationDto {
  /** Names it for reports, commit and release. */
  reservation_id!: string;
  /** The amount held. */
  amount!: number;
  /** When it expires, unless its use is reported: RFC 3339, Redis time. */
  expires_at!: string;
}

/** Reports the use of a hold. */
export class ReportUseDto {
  /** Used so far, in all; 0 where it is told by `kinds` alone. */
  @OrKinds()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  used?: number;

  /** Used so far by kind, beside `used`: weighed as the policy of the resource says. */
  @IsKinds()
  kinds?: Record<string, number>;
}

/** Whether to go on. */
export class GoOnDto {
  /** `false`: stop; the hold is over, or it is used up and the limits leave nothing. */
  continue!: boolean;
  /** How much may still be used; absent when no rule limits the resource. */
  remaining?: number;
}

/** Settles a hold. */
export class CommitDto {
  /** The true amount; it may be more than was held. 0 where it is told by `kinds` alone. */
  @OrKinds()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000_000)
  amount?: number;

  /** Counts by kind, beside `amount`: weighed as the policy of the resource says, and counted each for itself. */
  @IsKinds()
  kinds?: Record<string, number>;
}

/** How a hold was settled. */
export class SettledDto {
  /** What is charged. */
  charged!: number;
  /** How much of it the hold did not cover. */
  overrun!: number;
}
