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
import { EntryCache } from './entry/entry-cache.js';
import { EntryCodec } from './entry/entry-codec.js';
import { EntryLoads } from './entry/entry-loads.js';
import { EntryScripts } from './entry/entry.scripts.js';
import { LoadWakes } from './entry/load-wakes.js';

/** The cache: documents, shared with other programs, and what other modules load through it. */
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
    EntryScripts,
    EntryCodec,
    LoadWakes,
    EntryLoads,
    EntryCache,
    CacheService,
  ],
  exports: [CacheService],
})
export class CacheModule {}
