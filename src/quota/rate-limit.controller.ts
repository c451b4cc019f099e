import { Body, Get, Headers, HttpCode, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { Response } from 'express';
import { ApiProblems } from '../common/http/api-problems.js';
import { PageQueryDto } from '../common/http/page.dto.js';
import { NamePipe } from '../common/names.js';
import { RatePolicy } from '../config/policies.dto.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { ConsumeRateDto, RateLimitDto, RateLimitListDto, RateLimitStateDto } from './dto/rate-limit.dto.js';
import { refusal } from './quota.errors.js';
import { QuotaService } from './quota.service.js';
import { rateView } from './quota.state.js';
import { addRateLimit } from './rate-limit.headers.js';

@ProjectController('rate-limits')
export class RateLimitController {
  constructor(
    private readonly context: ProjectContext,
    private readonly quotas: QuotaService,
  ) {}

  /** Lists the rate limits that hold in the project, by name. */
  @Get()
  @Requires('read')
  async list(@Query() { limit, cursor }: PageQueryDto): Promise<RateLimitListDto> {
    const { items, next } = await this.quotas.listRates(this.context.projectId, { limit, after: cursor });
    return { items, ...(next === undefined ? {} : { next_cursor: next }) };
  }

  /** Sets a rate limit from the next call on. What was consumed stays consumed. */
  @Put(':action')
  @Requires('own')
  @ApiProblems('conflict', 'storage_full')
  async put(@Param('action', NamePipe) action: string, @Body() body: RatePolicy): Promise<RateLimitDto> {
    await this.quotas.putRate(this.context.projectId, action, body);
    return { action, ...body };
  }

  /** Takes from a token bucket. A refusal takes nothing. */
  @Post(':action/consume')
  @HttpCode(200)
  @Requires('write')
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes a repetition answer alike, charged once.',
  })
  @ApiProblems('not_found', 'conflict')
  async consume(
    @Param('action', NamePipe) action: string,
    @Body() body: ConsumeRateDto,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<RateLimitStateDto> {
    const { projectId, principal } = this.context;
    const { allowed, items } = await this.quotas.chargeRate(projectId, action, body.cost, {
      idempotencyKey,
      user: body.user ?? principal.userId,
    });
    const { state, degraded } = items[0]!;
    addRateLimit(response, action, state);
    if (!allowed) throw refusal('quota.consume-rate', items);
    return rateView(state, true, degraded);
  }
}
