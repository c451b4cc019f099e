import { Body, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { ApiProblems } from '../common/http/api-problems.js';
import { PageQueryDto } from '../common/http/page.dto.js';
import { NamePipe } from '../common/names.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { DeadLettersDto, RedrivenDto } from './dto/queue.dto.js';
import { QueueAdminService } from './queue-admin.service.js';
import { QueueSettingsDto } from './dto/settings.dto.js';
import { toDeadLetterDto } from './queue.mapping.js';

/** What an owner does with a queue. */
@ProjectController('queues')
@Requires('own')
export class QueueAdminController {
  constructor(
    private readonly context: ProjectContext,
    private readonly queues: QueueAdminService,
  ) {}

  /** A page of dead letters, oldest first. */
  @Get(':queue/dead')
  @ApiProblems('not_found')
  async dead(@Param('queue', NamePipe) queue: string, @Query() page: PageQueryDto): Promise<DeadLettersDto> {
    const { items, nextCursor } = await this.queues.dead(this.context.projectId, queue, page.limit, page.cursor);
    return { items: items.map(toDeadLetterDto), ...(nextCursor === undefined ? {} : { next_cursor: nextCursor }) };
  }

  /** Puts all dead letters back to the tail, with identical bytes and their attempts anew. */
  @Post(':queue/dead/redrive')
  @HttpCode(200)
  @ApiProblems('not_found', 'storage_full')
  async redrive(@Param('queue', NamePipe) queue: string): Promise<RedrivenDto> {
    return { redriven: await this.queues.redrive(this.context.projectId, queue) };
  }

  /** Removes all dead letters. */
  @Delete(':queue/dead')
  @HttpCode(204)
  @ApiProblems('not_found')
  async dropDead(@Param('queue', NamePipe) queue: string): Promise<void> {
    await this.queues.dropDead(this.context.projectId, queue);
  }

  /** Stops leasing until it is resumed; jobs are still accepted. */
  @Post(':queue/pause')
  @HttpCode(204)
  @ApiProblems('not_found', 'storage_full')
  async pause(@Param('queue', NamePipe) queue: string): Promise<void> {
    await this.queues.pause(this.context.projectId, queue);
  }

  /** Replaces the settings of a queue: its order, and the project's weight. */
  @Put(':queue/settings')
  @ApiProblems('not_found', 'storage_full')
  async configure(@Param('queue', NamePipe) queue: string, @Body() body: QueueSettingsDto): Promise<QueueSettingsDto> {
    await this.queues.configure(this.context.projectId, queue, body);
    return body;
  }

  /** Leases again. */
  @Post(':queue/resume')
  @HttpCode(204)
  @ApiProblems('not_found')
  async resume(@Param('queue', NamePipe) queue: string): Promise<void> {
    await this.queues.resume(this.context.projectId, queue);
  }
}
