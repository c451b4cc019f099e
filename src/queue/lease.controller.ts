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
  LeasedJobDto,
  NackDto,
} from './dto/lease.dto.js';
import { LeaseService } from './lease.service.js';
import { toAckResults, toLeasedJobDto, toLeaseOptions } from './queue.mapping.js';
import type { Lease } from './queue.types.js';

/** Pull workers in any language. */
@ProjectController('queues')
export class LeaseController {
  constructor(
    private readonly context: ProjectContext,
    private readonly leasing: LeaseService,
  ) {}

  /** Leases jobs from the head, waiting for the first when asked to; 204 when there is none. */
  @Post(':queue/leases')
  @HttpCode(200)
  @Requires('work')
  @ApiOkResponse({ type: LeaseAnswerDto })
  @ApiNoContentResponse({ description: 'No job.' })
  @ApiProblems('not_found', 'rate_limited', 'too_many_connections')
  async lease(
    @Param('queue', NamePipe) queue: string,
    @Body() body: LeaseDto,
    @Res({ passthrough: true }) response: Response,
  ): Promise<LeaseAnswerDto | undefined> {
    const { projectId } = this.context;
    const signal = closeSignal(response);
    const lease = await this.leasing.lease(projectId, queue, toLeaseOptions(body, signal));
    return this.#answer(response, this.#give(projectId, queue, signal, lease));
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
    if (body.lease_next) {
      const done = { jobId, leaseToken: body.lease_token, result: body.result };
      const signal = closeSignal(response);
      const lease = await this.leasing.ackAndLease(projectId, queue, done);
      return this.#answer(response, this.#give(projectId, queue, signal, lease));
    }
    await this.leasing.ack(projectId, queue, jobId, body.lease_token, body.result);
    response.status(204);
    return undefined;
  }

  /** Ends up to 100 jobs as done, each by itself; with `lease`, leases the next ones in the same call. */
  @Post(':queue/acks')
  @RateLimitExempt()
  @HttpCode(200)
  @Requires('work')
  @ApiProblems('not_found', 'too_many_connections')
  async ackBatch(
    @Param('queue', NamePipe) queue: string,
    @Body() body: AckBatchDto,
    @Res({ passthrough: true }) response: Response,
  ): Promise<AckResultsDto> {
    const { projectId } = this.context;
    const done = body.acks.map((ack) => ({ jobId: ack.job_id, leaseToken: ack.lease_token, result: ack.result }));
    if (!body.lease) return toAckResults(done, await this.leasing.ackBatch(projectId, queue, done));
    const signal = closeSignal(response);
    const options = toLeaseOptions(body.lease, signal);
    const { outcomes, lease } = await this.leasing.ackBatchAndLease(projectId, queue, done, options);
    return { ...toAckResults(done, outcomes), jobs: this.#give(projectId, queue, signal, lease) };
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
    await this.leasing.nack(this.context.projectId, queue, jobId, body.lease_token, {
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
    const lease = await this.leasing.extend(
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
  #give(projectId: ProjectId, queue: string, signal: AbortSignal, lease: Lease): LeasedJobDto[] {
    const giveBack = (): void => void this.leasing.release(projectId, queue, lease).catch(() => undefined);
    if (signal.aborted) giveBack();
    else signal.addEventListener('abort', giveBack, { once: true });
    return lease.jobs.map(toLeasedJobDto);
  }

  #answer(response: Response, jobs: LeasedJobDto[]): LeaseAnswerDto | undefined {
    if (jobs.length > 0) return { jobs };
    response.status(204);
    return undefined;
  }
}
