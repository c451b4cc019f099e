import { Global, Module } from '@nestjs/common';
import { PurgeRegistry } from './purge.registry.js';

/** Removing a whole project. */
@Global()
@Module({ providers: [PurgeRegistry], exports: [PurgeRegistry] })
export class PurgeModule {}
