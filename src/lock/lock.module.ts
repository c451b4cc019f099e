import { Module } from '@nestjs/common';
import { LockController } from './lock.controller.js';
import { LockKeys } from './lock.keys.js';
import { LockScripts } from './lock.scripts.js';
import { LockService } from './lock.service.js';
import { WaitingRooms } from './waiting-rooms.js';

/** Locks with fencing tokens. */
@Module({
  controllers: [LockController],
  providers: [LockKeys, LockScripts, WaitingRooms, LockService],
  exports: [LockService],
})
export class LockModule {}
