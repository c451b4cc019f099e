import { Body, Get, Headers, HttpCode, Post, Query, Req, Res, UseFilters } from '@nestjs/common';
import { ApiHeader, ApiNoContentResponse, ApiOkResponse, ApiProduces } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { ApiProblems } from '../common/http/api-problems.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { RateLimitExempt } from '../quota/rate-limit.decorators.js';
import { Project, Requires } from '../project-context/project.decorators.js';
import type { RequestProject } from '../project-context/request-project.js';
import { PublishedDto, PublishEventDto, StreamQueryDto, TicketDto } from './dto/progress.dto.js';
import { ProgressService } from './progress.service.js';
import { EventStreams } from './stream/event-streams.js';
import { SoftRefusalFilter } from './stream/soft-refusal.filter.js';
import { StreamTickets, TICKET_SECONDS } from './ticket/stream-tickets.js';
import { ticketOf } from './ticket/ticket.credential.js';

/** Events and their streams. Hot, as documents are: a singleton that takes the project as a parameter. */
@ProjectController('progress')
export class ProgressController {
  constructor(
    private readonly progress: ProgressService,
    private readonly streams: EventStreams,
    private readonly tickets: StreamTickets,
  ) {}

  /** Publishes an event to all streams of the project. */
  @Post()
  @HttpCode(202)
  @Requires('write')
  @ApiHeader({ name: 'Idempotency-Key', required: false, description: 'Makes a repetition within 10 minutes safe.' })
  @ApiProblems('conflict', 'payload_too_large', 'storage_full')
  publish(
    @Project() { projectId }: RequestProject,
    @Body() body: PublishEventDto,
    @Headers('Idempotency-Key') idempotencyKey?: string,
  ): Promise<PublishedDto> {
    return this.progress.publish(projectId, body, { idempotencyKey });
  }

  /** The live events of the project (server-sent events), from now on or after the last one seen. */
  @Get()
  @Requires('read')
  @RateLimitExempt()
  @UseFilters(SoftRefusalFilter)
  @ApiHeader({ name: 'Last-Event-ID', required: false, description: 'Continues after this event.' })
  @ApiProduces('text/event-stream')
  @ApiOkResponse({ description: 'The stream.', schema: { type: 'string' } })
  @ApiNoContentResponse({ description: 'The operation is over, and its end was seen: do not reconnect.' })
  @ApiProblems('too_many_connections')
  stream(
    @Project() { projectId, principal }: RequestProject,
    @Query() query: StreamQueryDto,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const asked = {
      projectId,
      principal,
      operationId: query.operation_id,
      after: lastEventId(request.headers['last-event-id']) ?? lastEventId(query.last_event_id),
      named: query.named === '1',
      ticket: principal.via === 'ticket' && !principal.ambient ? ticketOf(request) : undefined,
    };
    return this.streams.serve(asked, request, response);
  }

  /** A ticket with which a browser's EventSource, which can send no header, opens one stream. */
  @Post('tickets')
  @Requires('read')
  @ApiProblems('storage_full')
  async ticket(@Project() { projectId, principal }: RequestProject): Promise<TicketDto> {
    return { ticket: await this.tickets.issue(projectId, principal), expires_in_seconds: TICKET_SECONDS };
  }
}

// An empty one is none. What is no string (a query parameter given twice) is a cursor that cannot be continued.
function lastEventId(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  return typeof value === 'string' ? value : 'unreadable';
}
