import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsBoolean,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
  MinLength,
  ValidateNested,
} from 'class-validator';
import { IsName } from '../../common/names.js';

/** Asks for jobs. */
export class LeaseDto {
  /** How many at most. */
  @IsInt()
  @Min(1)
  @Max(10)
  max: number = 1;

  /** Length of the lease, in seconds. */
  @IsInt()
  @Min(1)
  @Max(3600)
  lease_seconds: number = 30;

  /** How long to wait for the first job, in seconds. */
  @IsNumber()
  @Min(0)
  @Max(25)
  wait_seconds: number = 0;

  /** Names this request: repeated after a lost answer, it gets the same jobs. */
  @IsOptional()
  @IsName()
  request_id?: string;
}

/** Ends a job as done. */
export class AckDto {
  /** The token of the lease. */
  @IsString()
  @MinLength(1)
  @MaxLength(128)
  lease_token!: string;

  /** What came out: any JSON, at most 256 KiB, kept for an hour. */
  @IsOptional()
  result?: unknown;

  /** Lease the next job in the same call, for as long as this one was asked for by default (30 s). */
  @IsOptional()
  @IsBoolean()
  lease_next?: boolean;
}

/** One of a batch of acks. */
export class BatchAckDto {
  /** The job. */
  @IsName()
  job_id!: string;

  /** The token of its lease. */
  @IsString()
  @MinLength(1)
  @MaxLength(128)
  lease_token!: string;

  /** What came out: any JSON, at most 256 KiB. */
  @IsOptional()
  result?: unknown;
}

/** Up to 100 acks; each succeeds or fails by itself. A worker that takes its jobs in batches leases the next ones with them. */
export class AckBatchDto {
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => BatchAckDto)
  acks!: BatchAckDto[];

  /** Lease the next jobs in the same call, as `POST …/leases` would; nothing is leased when no ack had its lease. */
  @IsOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => LeaseDto)
  lease?: LeaseDto;
}

/** Gives a job back as failed. */
export class NackDto {
  /** The token of the lease. */
  @IsString()
  @MinLength(1)
  @MaxLength(128)
  lease_token!: string;

  /** What went wrong; kept with the job. */
  @IsString()
  @MaxLength(2000)
  error!: string;

  /** Seconds until the retry, instead of the exponential backoff. */
  @IsOptional()
  @IsNumber()
  @Min(0)
  @Max(2_592_000)
  retry_in_seconds?: number;

  /** Make it a dead letter now, whatever its attempts. */
  @IsOptional()
  @IsBoolean()
  dead?: boolean;
}

/** Prolongs a lease. */
export class ExtendDto {
  /** The token of the lease. */
  @IsString()
  @MinLength(1)
  @MaxLength(128)
  lease_token!: string;

  /** Length from now on, in seconds. */
  @IsInt()
  @Min(1)
  @Max(3600)
  lease_seconds!: number;

  /** With an `operation_id`: published as its progress (`done`, `total`, `stage`, `message`). */
  @IsOptional()
  @IsObject()
  progress?: Record<string, unknown>;
}

/** A job that the caller holds. */
export class LeasedJobDto {
  /** The job. */
  job_id!: string;
  /** Proves the lease; opaque. */
  lease_token!: string;
  /** 1 for the first attempt. */
  attempt!: number;
  /** The task as it stands in the list, its `project_id` included. */
  task!: Record<string, unknown>;
  /** The operation that the job reports as. */
  operation_id?: string;
  /** When the lease ends unless it is prolonged: RFC 3339, Redis time. */
  lease_expires_at!: string;
}

/** Jobs that the caller holds. */
export class LeaseAnswerDto {
  jobs!: LeasedJobDto[];
}

/** What became of one ack. */
export class AckResultDto {
  /** The job. */
  job_id!: string;
  /** 204 when it is done, 409 when the lease was not, or no longer, held. */
  status!: number;
}

/** What became of a batch, in order. */
export class AckResultsDto {
  results!: AckResultDto[];
  /** With `lease`: the jobs leased, which may be none. */
  jobs?: LeasedJobDto[];
}

/** A prolonged lease. */
export class ExtendedDto {
  /** When it ends unless it is prolonged again. */
  lease_expires_at!: string;
  /** The job was cancelled meanwhile: stop, and ack it. */
  cancelled!: boolean;
}
