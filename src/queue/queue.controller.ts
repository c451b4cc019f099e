import { Body, Delete, Get, Headers, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { ApiProblems } from '../common/http/api-problems.js';
import { PageQueryDto } from '../common/http/page.dto.js';
import { NamePipe } from '../common/names.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { EnqueueBatchDto, EnqueueDto, EnqueuedBatchDto, EnqueuedDto } from './dto/enqueue.dto.js';
import { JobDto, QueueDto, QueuesDto } from './dto/queue.dto.js';
import { toJobDto, toNewJob, toQueueDto } from './queue.mapping.js';
import { QueueService } from './queue.service.js';

@ProjectController('queues')
export class QueueController {
  constructor(
    private readonly context: ProjectContext,
    private readonly queues: QueueService,
  ) {}

  /** Adds a job to the tail. */
  @Post(':queue/jobs')
  @Requires('enqueue')
  @ApiHeader({ name: 'Idempotency-Key', required: false })
  @ApiProblems('not_found', 'conflict', 'payload_too_large', 'queue_full', 'storage_full')
  async enqueue(
    @Param('queue', NamePipe) queue: string,
    @Body() body: EnqueueDto,
    @Headers('idempotency-key') idempotencyKey?: string,
  ): Promise<EnqueuedDto> {
    const [job] = await this.queues.enqueue(this.context.projectId, queue, [toNewJob(body)], {
      idempotencyKey,
      path: () => 'task',
    });
    return { job_id: job!.jobId, state: job!.state };
  }

  /** Adds up to 100 jobs to the tail, in order; all or none. */
  @Post(':queue/jobs/batch')
  @Requires('enqueue')
  @ApiHeader({ name: 'Idempotency-Key', required: false })
  @ApiProblems('not_found', 'conflict', 'payload_too_large', 'queue_full', 'storage_full')
  async enqueueBatch(
    @Param('queue', NamePipe) queue: string,
    @Body() body: EnqueueBatchDto,
    @Headers('idempotency-key') idempotencyKey?: string,
  ): Promise<EnqueuedBatchDto> {
    const jobs = await this.queues.enqueue(this.context.projectId, queue, body.jobs.map(toNewJob), { idempotencyKey });
    return { jobs: jobs.map(({ jobId, state }) => ({ job_id: jobId, state })) };
  }

  /** How many jobs of every queue are where, by name. */
  @Get()
  @Requires('read')
  async list(@Query() { limit, cursor }: PageQueryDto): Promise<QueuesDto> {
    const { items, next } = await this.queues.page(this.context.projectId, limit, cursor);
    return { items: items.map(toQueueDto), ...(next === undefined ? {} : { next_cursor: next }) };
  }

  /** How many jobs of a queue are where. */
  @Get(':queue')
  @Requires('read')
  @ApiProblems('not_found')
  async counts(@Param('queue', NamePipe) queue: string): Promise<QueueDto> {
    return toQueueDto(await this.queues.counts(this.context.projectId, queue));
  }

  /** The state of a job. */
  @Get(':queue/jobs/:job_id')
  @Requires('read')
  @ApiProblems('not_found')
  async job(@Param('queue', NamePipe) queue: string, @Param('job_id', NamePipe) jobId: string): Promise<JobDto> {
    return toJobDto(await this.queues.job(this.context.projectId, queue, jobId));
  }

  /** Cancels a job; a running worker learns it at its next extend. */
  @Delete(':queue/jobs/:job_id')
  @HttpCode(202)
  @Requires('enqueue')
  @ApiProblems('not_found', 'conflict')
  async cancel(@Param('queue', NamePipe) queue: string, @Param('job_id', NamePipe) jobId: string): Promise<void> {
    await this.queues.cancel(this.context.projectId, queue, jobId);
  }
}
