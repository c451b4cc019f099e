import { Global, Module } from '@nestjs/common';
import { PurgeController } from './purge.controller.js';
import { PurgeRegistry } from './purge.registry.js';
import { PurgeService } from './purge.service.js';
import { PurgeSweeper } from './purge.sweeper.js';

/** Removing a whole project. */
@Global()
@Module({
  controllers: [PurgeController],
  providers: [PurgeRegistry, PurgeSweeper, PurgeService],
  exports: [PurgeRegistry],
})
export class PurgeModule {}
