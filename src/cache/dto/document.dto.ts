import { IsInt, IsOptional, IsString, Max, Min } from 'class-validator';
import { IsName } from '../../common/names.js';

/** A document to cache. */
export class PutDocumentDto {
  /** Its title; may be empty. */
  @IsString()
  title!: string;

  /** Its text; may be empty. */
  @IsString()
  content!: string;

  /** A newer version replaces an older one, never the other way round. */
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  version!: number;

  /** How long it is kept, in seconds (1 to 31,536,000). Default: the setting DOCUMENT_TTL_SECONDS. */
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(31_536_000)
  ttl_seconds?: number;
}

/** A document as it is stored; other programs may have added fields of their own. */
export class DocumentDto {
  /** The id under which it is stored. */
  @IsName()
  id!: string;

  /** Its title. */
  @IsString()
  title!: string;

  /** Its text. */
  @IsString()
  content!: string;

  /** Its version. */
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  version!: number;
}
