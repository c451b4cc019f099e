import { Body, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse } from '@nestjs/swagger';
import type { Response } from 'express';
import { ApiProblems } from '../common/http/api-problems.js';
import { closeSignal } from '../common/http/close-signal.js';
import { NamePipe } from '../common/names.js';
import type { ProjectId } from '../common/project-id.js';
import { rfc3339 } from '../common/time.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { RateLimitExempt } from '../quota/rate-limit.decorators.js';
import {
  AckBatchDto,
  AckDto,
  AckResultsDto,
  ExtendDto,
  ExtendedDto,
  LeaseAnswerDto,
  LeaseDto,
  NackDto,
} from './dto/lease.dto.js';
import { toLeasedJobDto } from './queue.mapping.js';
import { type LeaseOptions, QueueService } from './queue.service.js';

/** Pull workers in any language. */
@ProjectController('queues')
export class LeaseController {
  constructor(
    private readonly context: ProjectContext,
    private readonly queues: QueueService,
  ) {}

  /** Leases jobs from the head, waiting for the first when asked to; 204 when there is none. */
  @Post(':queue/leases')
  @HttpCode(200)
  @Requires('work')
  @ApiOkResponse({ type: LeaseAnswerDto })
  @ApiNoContentResponse({ description: 'No job.' })
  @ApiProblems('not_found')
  async lease(
    @Param('queue', NamePipe) queue: string,
    @Body() body: LeaseDto,
    @Res({ passthrough: true }) response: Response,
  ): Promise<LeaseAnswerDto | undefined> {
    return this.#lease(this.context.projectId, queue, response, {
      max: body.max,
      leaseSeconds: body.lease_seconds,
      waitSeconds: body.wait_seconds,
      ...(body.request_id ? { requestId: body.request_id } : {}),
    });
  }

  /** Ends a job as done; with `lease_next`, leases the next one in the same call. */
  @Post(':queue/jobs/:job_id/ack')
  @RateLimitExempt()
  @HttpCode(200)
  @Requires('work')
  @ApiOkResponse({ type: LeaseAnswerDto, description: 'With `lease_next`: the next job.' })
  @ApiNoContentResponse({ description: 'Done; with `lease_next`: and there is no other job.' })
  @ApiProblems('not_found', 'stale_lease')
  async ack(
    @Param('queue', NamePipe) queue: string,
    @Param('job_id', NamePipe) jobId: string,
    @Body() body: AckDto,
    @Res({ passthrough: true }) response: Response,
  ): Promise<LeaseAnswerDto | undefined> {
    const { projectId } = this.context;
    await this.queues.ack(projectId, queue, jobId, body.lease_token, body.result);
    if (body.lease_next) return this.#lease(projectId, queue, response, {});
    response.status(204);
    return undefined;
  }

  /** Ends up to 100 jobs as done, each by itself. */
  @Post(':queue/acks')
  @RateLimitExempt()
  @HttpCode(200)
  @Requires('work')
  @ApiProblems('not_found')
  async ackBatch(@Param('queue', NamePipe) queue: string, @Body() body: AckBatchDto): Promise<AckResultsDto> {
    const acks = body.acks.map((ack) => ({ jobId: ack.job_id, leaseToken: ack.lease_token, result: ack.result }));
    const results = await this.queues.ackBatch(this.context.projectId, queue, acks);
    return { results: results.map((result, i) => ({ job_id: acks[i]!.jobId, status: result === 'done' ? 204 : 409 })) };
  }

  /** Gives a job back as failed: it is retried, or dead when its attempts are used up. */
  @Post(':queue/jobs/:job_id/nack')
  @RateLimitExempt()
  @HttpCode(204)
  @Requires('work')
  @ApiProblems('not_found', 'stale_lease')
  async nack(
    @Param('queue', NamePipe) queue: string,
    @Param('job_id', NamePipe) jobId: string,
    @Body() body: NackDto,
  ): Promise<void> {
    await this.queues.nack(this.context.projectId, queue, jobId, body.lease_token, {
      error: body.error,
      retryInSeconds: body.retry_in_seconds,
      dead: body.dead,
    });
  }

  /** Prolongs a lease, and tells whether the job was cancelled. */
  @Post(':queue/jobs/:job_id/extend')
  @RateLimitExempt()
  @HttpCode(200)
  @Requires('work')
  @ApiProblems('not_found', 'stale_lease')
  async extend(
    @Param('queue', NamePipe) queue: string,
    @Param('job_id', NamePipe) jobId: string,
    @Body() body: ExtendDto,
  ): Promise<ExtendedDto> {
    const { projectId } = this.context;
    const lease = await this.queues.extend(
      projectId,
      queue,
      jobId,
      body.lease_token,
      body.lease_seconds,
      body.progress,
    );
    return { lease_expires_at: rfc3339(lease.expiresAt), cancelled: lease.cancelled };
  }

  // An answer that nobody received gives its jobs back at once.
  async #lease(
    projectId: ProjectId,
    queue: string,
    response: Response,
    options: LeaseOptions,
  ): Promise<LeaseAnswerDto | undefined> {
    const signal = closeSignal(response);
    const lease = await this.queues.lease(projectId, queue, { ...options, signal });
    if (lease.jobs.length === 0) {
      response.status(204);
      return undefined;
    }
    const giveBack = (): void => void this.queues.release(projectId, queue, lease).catch(() => undefined);
    if (signal.aborted) giveBack();
    else signal.addEventListener('abort', giveBack, { once: true });
    return { jobs: lease.jobs.map(toLeasedJobDto) };
  }
}
