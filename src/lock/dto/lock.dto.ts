import { IsInt, IsString, Matches, Max, Min } from 'class-validator';

/** Takes a lock. */
export class AcquireLockDto {
  /** How long the lock is held unless it is prolonged, in milliseconds. */
  @IsInt()
  @Min(100)
  @Max(300_000)
  ttl_ms!: number;

  /** How long to wait for a held lock, in milliseconds. */
  @IsInt()
  @Min(0)
  @Max(30_000)
  wait_ms: number = 0;
}

/** Prolongs a lock. */
export class ExtendLockDto {
  /** The token that the grant answered. */
  @IsString()
  @Matches(/^[A-Za-z0-9_-]{1,128}$/, { message: 'token must be the token that the grant answered' })
  token!: string;

  /** Time to live from now on, in milliseconds. */
  @IsInt()
  @Min(100)
  @Max(300_000)
  ttl_ms!: number;
}

/** A lock that the caller holds. */
export class LockDto {
  /** The secret that prolongs and releases the lock. */
  token!: string;
  /** Fencing token: grows with every grant of this lock. */
  fence!: number;
  /** When the lock ends unless it is prolonged: RFC 3339, Redis time. */
  expires_at!: string;
}
