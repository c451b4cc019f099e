import { IsIn, IsInt, IsOptional, Max, Min } from 'class-validator';
import type { QueueOrder } from '../queue.types.js';

/** What an owner sets for a queue of the project; what is left out has its default. */
export class QueueSettingsDto {
  /** `relaxed`: younger jobs pass one that waits for its retry. `strict`: one job at a time, and the head blocks until it is over. Default: as the queue was declared. */
  @IsOptional()
  @IsIn(['relaxed', 'strict'])
  order?: QueueOrder;

  /** The project's share of the consumers' time, against other projects' of the same queue. Default 1. */
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(100)
  weight?: number;
}
