import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import { IsName } from '../../common/names.js';

/** How a job is handled. */
export class JobOptionsDto {
  /** Seconds until it may be leased, at most 30 days. */
  @IsOptional()
  @IsNumber()
  @Min(0)
  @Max(2_592_000)
  delay_seconds?: number;

  /** While an undone job holds this key, adding another answers that job instead. */
  @IsOptional()
  @IsName()
  dedupe_key?: string;

  /** Attempts before it becomes a dead letter; an expired lease counts as one. Default 10. */
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(100)
  max_attempts?: number;

  /** The job reports its states as this operation on the event stream. */
  @IsOptional()
  @IsName()
  operation_id?: string;
}

/** A job to be added. */
export class EnqueueDto {
  /** The task; for `embeddings`: `{"doc_id", "chunks"}`. Its `project_id` is added. */
  @IsObject()
  task!: Record<string, unknown>;

  /** How it is handled. */
  @IsOptional()
  @ValidateNested()
  @Type(() => JobOptionsDto)
  options?: JobOptionsDto;
}

/** Up to 100 jobs: all or none are added. */
export class EnqueueBatchDto {
  /** The jobs, in the order in which they are added. */
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => EnqueueDto)
  jobs!: EnqueueDto[];
}

/** A job that was added. */
export class EnqueuedDto {
  /** The job. */
  job_id!: string;
  /** `waiting` or `delayed`; with a `dedupe_key` in use, the state of the job that holds it. */
  state!: string;
}

/** The jobs that were added, in order. */
export class EnqueuedBatchDto {
  jobs!: EnqueuedDto[];
}
