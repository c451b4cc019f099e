import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../../../dist/common/project-id.js';
import { KeyBuilder } from '../../../dist/redis/key-builder.js';

/** Key names of embeddings. */
@Injectable()
export class EmbeddingsKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** The vector of a text by a model. String, one signed byte per dimension; TTL 7 days; on the cache server. */
  vector(projectId: ProjectId, model: string, text: string): string {
    return this.keys.key(projectId, 'embedding', model, createHash('sha256').update(text).digest('base64url'));
  }
}
