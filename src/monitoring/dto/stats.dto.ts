import { ApiExtraModels, ApiProperty, getSchemaPath } from '@nestjs/swagger';

/** Keys of one kind. */
export class KindSizeDto {
  /** Number of keys. */
  count!: number;
  /** Memory that they take on the server, in bytes, overhead of Redis included. */
  bytes!: number;
}

/** How often the document cache had what was asked for: reads that the process which answers has served. */
export class CacheStatsDto {
  hits!: number;
  misses!: number;
  /** hits / (hits + misses); null before the first read. */
  @ApiProperty({ type: Number, nullable: true })
  hit_rate!: number | null;
}

/** Event streams. */
export class StreamStatsDto {
  /** Open streams of the project on the process that answers. */
  open!: number;
}

/** A project in figures. */
@ApiExtraModels(KindSizeDto)
export class StatsDto {
  /** Keys by kind, the first word after the project's prefix (`doc`, `queue`, …); empty before the first measurement. */
  @ApiProperty({ type: 'object', additionalProperties: { $ref: getSchemaPath(KindSizeDto) } })
  keys!: Record<string, KindSizeDto>;

  /** When the keys were measured, in the background (RFC 3339, Redis time); null before the first time. */
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  measured_at!: string | null;

  /** Reads of documents. */
  cache!: CacheStatsDto;

  /** The queues, each as `GET /queues` tells it. */
  @ApiProperty({ type: 'array', items: { type: 'object', additionalProperties: true } })
  queues!: unknown[];

  /** The first 50 quotas by name, each as `GET /quotas` tells it. */
  @ApiProperty({ type: 'array', items: { type: 'object', additionalProperties: true } })
  quotas!: unknown[];

  /** The project's event streams. */
  streams!: StreamStatsDto;
}
