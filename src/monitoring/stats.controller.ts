import { Get } from '@nestjs/common';
import { rfc3339 } from '../common/time.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { StatsDto } from './dto/stats.dto.js';
import { KeySweep } from './key-sweep.js';
import { StatsRegistry } from './stats.registry.js';

@ProjectController('stats')
export class StatsController {
  constructor(
    private readonly context: ProjectContext,
    private readonly sweep: KeySweep,
    private readonly registry: StatsRegistry,
  ) {}

  /** The project in figures. Keys and bytes are measured in the background, at most once a minute, when somebody asks. */
  @Get()
  @Requires('read')
  async read(): Promise<StatsDto> {
    const { projectId } = this.context;
    const measured = this.sweep.latest(projectId);
    const sections = (await this.registry.collect(projectId)) as Omit<StatsDto, 'keys' | 'measured_at'>;
    return {
      ...sections,
      keys: Object.fromEntries(measured?.kinds ?? []),
      measured_at: measured ? rfc3339(measured.measuredAt) : null,
    };
  }
}
