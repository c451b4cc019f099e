import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Credentials } from '../auth/credentials.js';
import { type Access, may, type Principal } from '../auth/principal.js';
import { AppError } from '../common/app-error.js';
import { parseProjectId, type ProjectId } from '../common/project-id.js';
import { AppConfig } from '../config/app-config.js';
import { ACCESS, PUBLIC } from './project.decorators.js';
import type { ProjectRequest } from './request-project.js';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * The one door of the API, a singleton: reads `:project_id` of the path (only there), authenticates, checks the role that
 * the route declares, and freezes the result on the request. It fails closed: what declares nothing is refused.
 */
@Injectable()
export class ProjectGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly credentials: Credentials,
    private readonly config: AppConfig,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean>(PUBLIC, targets)) return true;
    const request = context.switchToHttp().getRequest<ProjectRequest>();
    const projectId = parseProjectId(request.params['project_id']);
    const access = this.reflector.getAllAndOverride<Access | undefined>(ACCESS, targets);
    const principal = this.credentials.authenticate(projectId, request);
    return principal instanceof Promise
      ? principal.then((proven) => this.#admit(request, projectId, proven, access))
      : this.#admit(request, projectId, principal, access);
  }

  #admit(request: ProjectRequest, projectId: ProjectId, principal: Principal, access: Access | undefined): true {
    if (access === undefined || !may(principal.role, access)) {
      throw new AppError('forbidden', 'project-context', `The role ${principal.role} may not do this.`);
    }
    if (principal.ambient && !SAFE_METHODS.has(request.method)) this.#refuseForeignSite(request);
    request.project = Object.freeze({ projectId, principal, role: principal.role });
    return true;
  }

  // A cookie rides along with whatever page sends the request (OWASP: cross-site request forgery).
  #refuseForeignSite(request: ProjectRequest): void {
    const site = request.headers['sec-fetch-site'];
    if (site === 'same-origin' || site === 'none') return;
    const origin = request.headers.origin;
    if (origin !== undefined && this.config.CORS_ORIGINS.includes(origin)) return;
    throw new AppError('forbidden', 'project-context', 'A write with a cookie must come from an allowed origin.');
  }
}
