import { Body, Delete, Get, HttpCode, Patch, Post, Req, Res } from '@nestjs/common';
import type { CookieOptions, Request, Response } from 'express';
import { cookie } from '../auth/credentials.js';
import { AppError } from '../common/app-error.js';
import { ApiProblems } from '../common/http/api-problems.js';
import type { ProjectId } from '../common/project-id.js';
import { AppConfig } from '../config/app-config.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { RateLimitExempt } from '../quota/rate-limit.decorators.js';
import { OpenedSessionDto, OpenSessionDto, RotateSessionDto, SaveSessionDto, SessionDto } from './dto/session.dto.js';
import { SESSION_COOKIE } from './session.credential.js';
import { type IssuedSession, SessionService } from './session.service.js';
import { toDto } from './to-dto.js';

/** A caller's own session. */
@ProjectController('sessions')
@Requires('read')
export class SessionController {
  constructor(
    private readonly context: ProjectContext,
    private readonly sessions: SessionService,
    private readonly config: AppConfig,
  ) {}

  /**
   * Opens a session of the caller with its role in this project; its token comes in the answer and as a cookie. A session of
   * the caller whose cookie comes along ends.
   */
  @Post()
  @ApiProblems('storage_full')
  async open(
    @Body() body: OpenSessionDto,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<OpenedSessionDto> {
    const { projectId, principal, role } = this.context;
    this.#requireBearer('session.open');
    const issued = await this.sessions.open(projectId, {
      userId: principal.userId,
      role,
      data: body.data,
      ttlSeconds: body.ttl_seconds ?? undefined,
    });
    const previous = cookie(request, SESSION_COOKIE);
    if (previous !== undefined) await this.sessions.endReplaced(projectId, previous, principal.userId);
    return this.#issue(projectId, issued, response);
  }

  /**
   * Gives a session of the caller a new token and the role that its bearer token says: after what he may do has changed. For
   * 10 s the token before is good too, with the role before.
   */
  @Post('rotate')
  @HttpCode(200)
  @ApiProblems('not_found')
  async rotate(
    @Body() body: RotateSessionDto,
    @Res({ passthrough: true }) response: Response,
  ): Promise<OpenedSessionDto> {
    const { projectId, principal, role } = this.context;
    this.#requireBearer('session.rotate');
    const issued = await this.sessions.rotate(projectId, body.token, { userId: principal.userId, role });
    return this.#issue(projectId, issued, response);
  }

  /** The session that authenticates this request. */
  @Get('current')
  @ApiProblems('not_found')
  async read(): Promise<SessionDto> {
    return toDto(await this.sessions.read(this.context.projectId, this.#current()));
  }

  /** Replaces the data of the session that authenticates this request. */
  @Patch('current')
  @ApiProblems('not_found', 'conflict', 'storage_full')
  async save(@Body() body: SaveSessionDto): Promise<SessionDto> {
    return toDto(await this.sessions.save(this.context.projectId, this.#current(), body.version, body.data));
  }

  /** Logs out: the session that authenticates this request ends. */
  @Delete('current')
  @RateLimitExempt()
  @HttpCode(204)
  @ApiProblems('not_found')
  async end(@Res({ passthrough: true }) response: Response): Promise<void> {
    const { projectId } = this.context;
    await this.sessions.end(projectId, this.#current());
    response.clearCookie(SESSION_COOKIE, this.#cookieOptions(projectId));
  }

  // Or one stolen session could live for ever, by opening the next.
  #requireBearer(op: string): void {
    if (this.context.principal.via === 'jwt') return;
    throw new AppError('forbidden', op, 'This takes a bearer token.');
  }

  #issue(projectId: ProjectId, { session, token }: IssuedSession, response: Response): OpenedSessionDto {
    response.cookie(SESSION_COOKIE, token, this.#cookieOptions(projectId));
    response.set('Cache-Control', 'no-store');
    return { ...toDto(session), token };
  }

  #current(): string {
    const { sessionId } = this.context.principal;
    if (sessionId === undefined) {
      throw new AppError('not_found', 'session.current', 'The request was not authenticated by a session.');
    }
    return sessionId;
  }

  #cookieOptions(projectId: ProjectId): CookieOptions {
    return { httpOnly: true, sameSite: 'lax', path: `/v1/projects/${projectId}`, secure: this.config.production };
  }
}
