import { Body, Delete, Headers, HttpCode, Param, Patch, Post, Res } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { Response } from 'express';
import { closeSignal } from '../common/http/close-signal.js';
import { ApiProblems } from '../common/http/api-problems.js';
import { NamePipe } from '../common/names.js';
import { rfc3339 } from '../common/time.js';
import { invalid } from '../common/validation.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { RateLimitExempt } from '../quota/rate-limit.decorators.js';
import { AcquireLockDto, ExtendLockDto, LockDto } from './dto/lock.dto.js';
import { type HeldLock, LockService } from './lock.service.js';

@ProjectController('locks')
export class LockController {
  constructor(
    private readonly context: ProjectContext,
    private readonly locks: LockService,
  ) {}

  /** Takes a lock, waiting for it when asked to. */
  @Post(':name')
  @Requires('write')
  @ApiProblems('locked', 'storage_full')
  async acquire(
    @Param('name', NamePipe) name: string,
    @Body() body: AcquireLockDto,
    @Res({ passthrough: true }) response: Response,
  ): Promise<LockDto> {
    const { projectId } = this.context;
    const signal = closeSignal(response);
    const lock = await this.locks.acquire(projectId, name, { ttlMs: body.ttl_ms, waitMs: body.wait_ms, signal });
    // Nobody is there to use it: give it back rather than let it block the others for its TTL.
    if (signal.aborted) await this.locks.release(projectId, name, lock.token);
    return toDto(lock);
  }

  /** Prolongs a lock; only its holder can. */
  @Patch(':name')
  @RateLimitExempt()
  @Requires('write')
  @ApiProblems('lock_lost')
  async extend(@Param('name', NamePipe) name: string, @Body() body: ExtendLockDto): Promise<LockDto> {
    return toDto(await this.locks.extend(this.context.projectId, name, body.token, body.ttl_ms));
  }

  /** Frees a lock; only its holder can, as often as it likes. */
  @Delete(':name')
  @HttpCode(204)
  @RateLimitExempt()
  @Requires('write')
  @ApiHeader({ name: 'Lock-Token', required: true, description: 'The token that the grant answered.' })
  @ApiProblems('lock_lost')
  async release(
    @Param('name', NamePipe) name: string,
    @Headers('lock-token') token: string | undefined,
  ): Promise<void> {
    if (!token) throw invalid('lock.release', [{ field: 'Lock-Token', message: 'the header is required' }]);
    await this.locks.release(this.context.projectId, name, token);
  }
}

function toDto(lock: HeldLock): LockDto {
  return { token: lock.token, fence: lock.fence, expires_at: rfc3339(lock.expiresAt) };
}
