import { Get, Param, Query } from '@nestjs/common';
import { ApiProblems } from '../common/http/api-problems.js';
import { NamePipe } from '../common/names.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { OperationDto, OperationsDto, OperationsQueryDto } from './dto/operation.dto.js';
import { ProgressService } from './progress.service.js';

@ProjectController('operations')
export class OperationsController {
  constructor(
    private readonly context: ProjectContext,
    private readonly progress: ProgressService,
  ) {}

  /** Running and recent operations, the latest touched first. */
  @Get()
  @Requires('read')
  async list(@Query() { limit, cursor }: OperationsQueryDto): Promise<OperationsDto> {
    const before = cursor === undefined ? undefined : Number(cursor);
    const { operations, next } = await this.progress.operations(this.context.projectId, { limit, before });
    return { items: operations, ...(next === undefined ? {} : { next_cursor: String(next) }) };
  }

  /** How far one operation is, with its output. */
  @Get(':operation_id')
  @Requires('read')
  @ApiProblems('not_found', 'conflict')
  one(@Param('operation_id', NamePipe) operationId: string): Promise<OperationDto> {
    return this.progress.operation(this.context.projectId, operationId);
  }
}
