import { Type } from 'class-transformer';
import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';
import { OPERATION_STATUSES, type OperationState, type OperationStatus } from '../operation-state.js';
import { ApiProperty } from '@nestjs/swagger';

/** A page of a list. */
export class OperationsQueryDto {
  /** Operations at most. */
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(100)
  limit: number = 50;

  /** `next_cursor` of the page before. */
  @IsOptional()
  @Matches(/^[0-9]{1,16}$/, { message: 'cursor must be the next_cursor of the page before' })
  cursor?: string;
}

/** A span of time in which something is expected. */
export class EtaDto {
  /** RFC 3339. */
  earliest!: string;
  /** RFC 3339. */
  latest!: string;
}

/** How far an operation is. */
export class OperationDto implements OperationState {
  /** Its name, chosen by who started it. */
  operation_id!: string;
  /** A terminal state (`completed`, `failed`, `cancelled`) stays until the operation is `started` again. */
  @ApiProperty({ enum: OPERATION_STATUSES })
  status!: OperationStatus;
  /** What it is doing, or `null` when it has not said. */
  @ApiProperty({ type: String, nullable: true })
  stage!: string | null;
  /** Units done, or `null`. */
  @ApiProperty({ type: Number, nullable: true })
  done!: number | null;
  /** Units in all, or `null`. */
  @ApiProperty({ type: Number, nullable: true })
  total!: number | null;
  /** For people, or `null`. */
  @ApiProperty({ type: String, nullable: true })
  message!: string | null;
  /** RFC 3339, Redis time. */
  started_at!: string;
  /** RFC 3339, Redis time. */
  updated_at!: string;
  /** When it will be over if it goes on as it did; only while that can be told from `done` and `total`. */
  eta?: EtaDto;
  /** Why it failed; `lost`: its worker stopped reporting. */
  error?: string;
  /** Length of its output so far, in UTF-8 bytes. */
  text_length?: number;
  /** The output is longer than the 1 MiB that is kept. */
  text_truncated?: boolean;
  /** Its output; only where one operation is asked for. */
  text?: string;
}

/** Running and recent operations, the latest touched first. */
export class OperationsDto {
  items!: OperationDto[];
  /** Given when more follow. */
  next_cursor?: string;
}
