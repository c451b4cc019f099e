import { Delete, Get, HttpCode, Param, Query } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { ApiProblems } from '../common/http/api-problems.js';
import { NamePipe } from '../common/names.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { PageQueryDto } from '../common/http/page.dto.js';
import { EndSessionsQueryDto, SessionListDto } from './dto/session.dto.js';
import { SessionService } from './session.service.js';
import { toDto } from './to-dto.js';

/** All sessions of a project, for its owner. */
@ProjectController('sessions')
@Requires('own')
export class SessionAdminController {
  constructor(
    private readonly context: ProjectContext,
    private readonly sessions: SessionService,
  ) {}

  /** Lists the living sessions, those first that expire first. One that is used meanwhile may appear on a later page again. */
  @Get()
  async list(@Query() { limit, cursor }: PageQueryDto): Promise<SessionListDto> {
    const { sessions, nextCursor } = await this.sessions.list(this.context.projectId, limit, cursor);
    return { items: sessions.map(toDto), ...(nextCursor === undefined ? {} : { next_cursor: nextCursor }) };
  }

  /** Ends one session. */
  @Delete(':id')
  @HttpCode(204)
  @ApiProblems('not_found')
  async end(@Param('id', NamePipe) sessionId: string): Promise<void> {
    if (await this.sessions.end(this.context.projectId, sessionId)) return;
    throw new AppError('not_found', 'session.end', 'There is no such session.');
  }

  /** Ends all sessions of a user, or of the project when no user is named. */
  @Delete()
  @HttpCode(204)
  async endMany(@Query() { user_id: userId }: EndSessionsQueryDto): Promise<void> {
    const { projectId } = this.context;
    await (userId === undefined ? this.sessions.endAll(projectId) : this.sessions.endOfUser(projectId, userId));
  }
}
