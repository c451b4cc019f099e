import { Injectable } from '@nestjs/common';
import { isAppError } from '../../../dist/common/app-error.js';
import type { ProjectId } from '../../../dist/common/project-id.js';
import { RedisGateway } from '../../../dist/redis/redis-gateway.js';
import { EmbeddingsKeys } from './embeddings.keys.js';

const TTL_SECONDS = 7 * 86_400;

/**
 * Vectors that were computed before, so that a job which comes back, or a document that changed in one place, costs only
 * what is new. A cache: without Redis everything is a miss, and what it cannot store is computed again.
 */
@Injectable()
export class VectorCache {
  constructor(
    private readonly gateway: RedisGateway,
    private readonly keys: EmbeddingsKeys,
  ) {}

  /** @returns the bytes for each text; `undefined` where they are not known. */
  async find(projectId: ProjectId, model: string, texts: readonly string[]): Promise<(Buffer | undefined)[]> {
    if (texts.length === 0) return [];
    const keys = texts.map((text) => this.keys.vector(projectId, model, text));
    const found = await this.gateway.call('cache', 'embeddings.find', (client) => client.mgetBuffer(keys)).catch(miss);
    return texts.map((_, i) => found?.[i] ?? undefined);
  }

  async store(projectId: ProjectId, model: string, text: string, bytes: Buffer): Promise<void> {
    const key = this.keys.vector(projectId, model, text);
    await this.gateway
      .call('cache', 'embeddings.store', (client) => client.set(key, bytes, 'EX', TTL_SECONDS))
      .catch(miss);
  }
}

function miss(error: unknown): undefined {
  if (!isAppError(error, 'redis_unavailable', 'storage_full')) throw error;
}
