import { Module } from '@nestjs/common';
import { ProgressModule } from '../../../dist/progress/progress.module.js';
import { QuotaModule } from '../../../dist/quota/quota.module.js';
import { Embedder } from './embedder.js';
import { EmbeddingsConsumer } from './embeddings.consumer.js';
import { EmbeddingsKeys } from './embeddings.keys.js';
import { VectorCache } from './vector-cache.js';

/** Embeds what the queue `embeddings` holds, of all projects. */
@Module({
  imports: [QuotaModule, ProgressModule],
  providers: [
    { provide: Embedder, useFactory: () => Embedder.load() },
    EmbeddingsKeys,
    VectorCache,
    EmbeddingsConsumer,
  ],
})
export class EmbeddingsModule {}
