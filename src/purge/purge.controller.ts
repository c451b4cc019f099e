import { Delete, HttpCode } from '@nestjs/common';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { PurgeService } from './purge.service.js';

/** The project as a whole. */
@ProjectController('', 'project')
export class PurgeController {
  constructor(
    private readonly context: ProjectContext,
    private readonly purges: PurgeService,
  ) {}

  /** Purges the project: at once for every reader, memory in the background. What is written meanwhile may go too. */
  @Delete()
  @HttpCode(202)
  @Requires('own')
  async purge(): Promise<void> {
    await this.purges.purge(this.context.projectId);
  }
}
