import { Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';

/** Which part of a list. */
export class PageQueryDto {
  /** Items at most. */
  @IsInt()
  @Min(1)
  @Max(100)
  @Type(() => Number)
  limit: number = 50;

  /** `next_cursor` of the page before. */
  @IsOptional()
  @IsString()
  @MaxLength(256)
  cursor?: string;
}
