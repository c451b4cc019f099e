import { ArrayMaxSize, IsArray, IsString } from 'class-validator';
import { IsName } from '../../common/names.js';

/** A task of the queue `embeddings`: the text chunks of one document. */
export class EmbeddingsTaskDto {
  /** The document. */
  @IsName()
  doc_id!: string;

  /** Its chunks, in order; may be empty. */
  @IsArray()
  @ArrayMaxSize(10_000)
  @IsString({ each: true })
  chunks!: string[];
}
