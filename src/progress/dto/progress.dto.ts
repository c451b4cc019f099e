import { ApiProperty } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { Allow, IsIn, IsObject, IsOptional, IsString, Matches } from 'class-validator';
import { IsName } from '../../common/names.js';
import { TYPE_PATTERN, TYPE_RULE } from '../new-event.js';

/** Publishes an event. At most 64 KiB as JSON. */
export class PublishEventDto {
  /** What happened, in the producer's words: 1 to 128 characters; `$` at the beginning is the stream's own. */
  @IsString()
  @Matches(TYPE_PATTERN, { message: `type ${TYPE_RULE}` })
  type!: string;

  /**
   * Anything. With an operation: `status` (`started`, `running`, `completed`, `failed`, `cancelled`; none is running), `stage`,
   * `done`, `total`, `message` and `error` become its state; `text` at `off` (UTF-8 bytes) appends to its output;
   * `lease_seconds` promises the next report, without which it becomes `failed` with the error `lost`.
   */
  @IsObject()
  // As it was sent: it is nobody's class.
  @Transform(({ obj }: { obj: { data: unknown } }) => obj.data)
  @ApiProperty({ type: 'object', additionalProperties: true })
  data!: Record<string, unknown>;

  /** The operation that the event belongs to. */
  @IsOptional()
  @IsName()
  operation_id?: string;
}

/** An event is in the log. */
export class PublishedDto {
  /** `<epoch>-<seq>`, as streams carry it. */
  id!: string;
}

/** Which events a stream shows, and from where on. */
export class StreamQueryDto {
  /** Only the events of this operation; the stream ends when it is over. */
  @IsOptional()
  @IsName()
  operation_id?: string;

  /** Continues after this event; the header `Last-Event-ID` wins. A value that cannot be continued is answered by `$reset`. */
  @Allow()
  @ApiProperty({ type: String, required: false })
  last_event_id?: unknown;

  /** `1`: frames carry their type as the `event` field (`error`, `open` and `message` with `op.` before them). */
  @IsOptional()
  @IsIn(['0', '1'])
  named?: '0' | '1';

  /** A ticket instead of a header: good once. */
  @Allow()
  @ApiProperty({ type: String, required: false })
  ticket?: unknown;
}

/** A ticket for one stream. */
export class TicketDto {
  /** To be sent as `?ticket=`, once. */
  ticket!: string;
  /** Seconds until it expires. */
  expires_in_seconds!: number;
}
