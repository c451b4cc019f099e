import { Body, Delete, Headers, HttpCode, Param, Patch, Post } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { ApiProblems } from '../common/http/api-problems.js';
import { NamePipe } from '../common/names.js';
import { rfc3339 } from '../common/time.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { CommitDto, GoOnDto, ReportUseDto, ReservationDto, ReserveDto, SettledDto } from './dto/reservation.dto.js';
import { RateLimitExempt } from './rate-limit.decorators.js';
import { ReservationService } from './reservation.service.js';

@ProjectController('quotas/:resource/reservations', 'quotas')
export class ReservationController {
  constructor(
    private readonly context: ProjectContext,
    private readonly reservations: ReservationService,
  ) {}

  /** Holds an amount until it is committed, released or expires. */
  @Post()
  @Requires('write')
  @ApiHeader({ name: 'Idempotency-Key', required: false, description: 'Makes a repetition answer alike, held once.' })
  @ApiProblems('not_found', 'conflict', 'quota_exceeded', 'storage_full')
  async reserve(
    @Param('resource', NamePipe) resource: string,
    @Body() body: ReserveDto,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
  ): Promise<ReservationDto> {
    const { id, amount, expiresAt } = await this.reservations.reserve(this.context.projectId, resource, body.amount, {
      ttlSeconds: body.ttl_seconds,
      onExpiry: body.on_expiry,
      idempotencyKey,
    });
    return { reservation_id: id, amount, expires_at: rfc3339(expiresAt) };
  }

  /** Reports the use so far, in all, and renews the hold. Stop when `continue` is false. */
  @Patch(':id')
  @RateLimitExempt()
  @Requires('write')
  @ApiProblems('not_found', 'conflict')
  async extend(
    @Param('resource', NamePipe) resource: string,
    @Param('id', NamePipe) id: string,
    @Body() { used = 0, kinds }: ReportUseDto,
  ): Promise<GoOnDto> {
    const { goOn, remaining } = await this.reservations.extend(this.context.projectId, resource, id, {
      amount: used,
      kinds,
    });
    return { continue: goOn, ...(remaining === undefined ? {} : { remaining }) };
  }

  /** Charges the true amount instead of the hold, also after it expired. */
  @Post(':id/commit')
  @HttpCode(200)
  @RateLimitExempt()
  @Requires('write')
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes a repetition answer alike, charged once.',
  })
  @ApiProblems('not_found', 'conflict')
  async commit(
    @Param('resource', NamePipe) resource: string,
    @Param('id', NamePipe) id: string,
    @Body() { amount = 0, kinds }: CommitDto,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
  ): Promise<SettledDto> {
    const { projectId } = this.context;
    return this.reservations.commit(projectId, resource, id, { amount, kinds }, { idempotencyKey });
  }

  /** Gives the hold back; without effect after a commit. */
  @Delete(':id')
  @HttpCode(204)
  @RateLimitExempt()
  @Requires('write')
  @ApiProblems('not_found', 'conflict')
  async release(@Param('resource', NamePipe) resource: string, @Param('id', NamePipe) id: string): Promise<void> {
    await this.reservations.release(this.context.projectId, resource, id);
  }
}
