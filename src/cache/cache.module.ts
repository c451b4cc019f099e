import { Module } from '@nestjs/common';
import { CacheEpoch } from './cache-epoch.js';
import { CacheReader } from './cache-reader.js';
import { CacheKeys } from './cache.keys.js';
import { CacheMetrics } from './cache.metrics.js';
import { CacheScripts } from './cache.scripts.js';
import { CacheService } from './cache.service.js';
import { CacheSweeper } from './cache.sweeper.js';
import { DocumentCodec } from './document-codec.js';
import { DocumentController } from './document.controller.js';

/** The document cache, shared with other programs. */
@Module({
  controllers: [DocumentController],
  providers: [
    CacheKeys,
    CacheScripts,
    CacheMetrics,
    CacheEpoch,
    CacheSweeper,
    CacheReader,
    DocumentCodec,
    CacheService,
  ],
  exports: [CacheService],
})
export class CacheModule {}
