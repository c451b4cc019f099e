import { Body, Get, Headers, HttpCode, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { Response } from 'express';
import { ApiProblems } from '../common/http/api-problems.js';
import { PageQueryDto } from '../common/http/page.dto.js';
import { NamePipe } from '../common/names.js';
import { rfc3339 } from '../common/time.js';
import { invalid } from '../common/validation.js';
import { QuotaPolicy } from '../config/policies.dto.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import {
  ChargedDto,
  type ChargeItemDto,
  ConsumeAllDto,
  ConsumeQuotaDto,
  QuotaDto,
  QuotaListDto,
  UsageDto,
  UsageQueryDto,
} from './dto/quota.dto.js';
import { refusal } from './quota.errors.js';
import { QuotaService } from './quota.service.js';
import { itemView, type QuotaItem, quotaView, type RateItem } from './quota.state.js';
import { addRateLimit } from './rate-limit.headers.js';

const IDEMPOTENCY = {
  name: 'Idempotency-Key',
  required: false,
  description: 'Makes a repetition answer alike, charged once.',
};

@ProjectController('quotas')
export class QuotaController {
  constructor(
    private readonly context: ProjectContext,
    private readonly quotas: QuotaService,
  ) {}

  /** Lists the quotas of the project as they stand, by name. */
  @Get()
  @Requires('read')
  async list(@Query() { limit, cursor }: PageQueryDto): Promise<QuotaListDto> {
    const { items, next } = await this.quotas.list(this.context.projectId, { limit, after: cursor });
    return {
      items: items.map(({ resource, state }) => quotaView(resource, state)),
      ...(next === undefined ? {} : { next_cursor: next }),
    };
  }

  /** Charges several quotas and rate limits: all or nothing. */
  @Post('consume')
  @HttpCode(200)
  @Requires('write')
  @ApiHeader(IDEMPOTENCY)
  @ApiProblems('not_found', 'conflict', 'quota_exceeded', 'storage_full')
  async consumeAll(
    @Body() body: ConsumeAllDto,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ChargedDto> {
    const op = 'quota.consume-all';
    const asked = body.items.map(toItem);
    const { projectId, principal } = this.context;
    const user = body.user ?? principal.userId;
    const { allowed, items } = await this.quotas.charge(projectId, asked, { idempotencyKey, user }, op);
    for (const { item, state } of items) if ('action' in item) addRateLimit(response, item.action, state);
    if (!allowed) throw refusal(op, items, true);
    return { items: items.map((item) => itemView(item, true)) };
  }

  /** Shows a quota as it stands. */
  @Get(':resource')
  @Requires('read')
  @ApiProblems('not_found')
  async get(@Param('resource', NamePipe) resource: string): Promise<QuotaDto> {
    return quotaView(resource, await this.quotas.get(this.context.projectId, resource));
  }

  /** Replaces the limits of a resource from the next call on. What was consumed stays consumed. */
  @Put(':resource')
  @Requires('own')
  @ApiProblems('conflict', 'storage_full')
  async put(@Param('resource', NamePipe) resource: string, @Body() body: QuotaPolicy): Promise<QuotaDto> {
    return quotaView(resource, await this.quotas.put(this.context.projectId, resource, body));
  }

  /** Charges a quota: by all of its rules or by none. */
  @Post(':resource/consume')
  @HttpCode(200)
  @Requires('write')
  @ApiHeader(IDEMPOTENCY)
  @ApiProblems('not_found', 'conflict', 'quota_exceeded', 'storage_full')
  async consume(
    @Param('resource', NamePipe) resource: string,
    @Body() { amount = 0, kinds }: ConsumeQuotaDto,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
  ): Promise<QuotaDto> {
    const item = { resource, amount, ...(kinds ? { kinds } : {}) };
    const charged = await this.quotas.consumeItem(this.context.projectId, item, { idempotencyKey });
    return itemView(charged, true) as QuotaDto;
  }

  /** Shows what was charged, window by window. */
  @Get(':resource/usage')
  @Requires('read')
  @ApiProblems('not_found')
  async usage(@Param('resource', NamePipe) resource: string, @Query() query: UsageQueryDto): Promise<UsageDto> {
    const { granularity } = query;
    const points = await this.quotas.usage(this.context.projectId, resource, {
      granularity,
      from: query.from === undefined ? undefined : Date.parse(query.from),
      to: query.to === undefined ? undefined : Date.parse(query.to),
    });
    return { resource, granularity, items: points.map(({ start, ...point }) => ({ start: rfc3339(start), ...point })) };
  }
}

function toItem({ resource, amount, kinds, action, cost }: ChargeItemDto, index: number): RateItem | QuotaItem {
  // Names and kinds may be null, as programs write what they leave out.
  const quantity = amount ?? (kinds ? 0 : undefined);
  if (resource && !action && quantity !== undefined && cost === undefined)
    return { resource, amount: quantity, ...(kinds ? { kinds } : {}) };
  if (action && !resource && quantity === undefined) return { action, cost: cost ?? 1 };
  throw invalid('quota.consume-all', [
    { field: `items.${index}`, message: 'must have a resource and its amount, or an action and its cost' },
  ]);
}
