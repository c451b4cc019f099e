import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import type { Principal, Role } from '../auth/principal.js';
import type { ProjectId } from '../common/project-id.js';
import { type ProjectRequest, projectOf } from './request-project.js';

/**
 * The project of the current request: the request-scoped provider that all feature modules share.
 *
 * Nest builds it before the guard runs, so its constructor reads nothing; each getter reads what the guard froze and throws
 * when there is nothing. Inject it in controllers only: scope bubbles up, and a service that injects it is rebuilt for each
 * request and loses its lifecycle hooks. Copy `projectId` into a local before starting anything that outlives the request.
 */
@Injectable({ scope: Scope.REQUEST })
export class ProjectContext {
  constructor(@Inject(REQUEST) private readonly request: ProjectRequest) {}

  get projectId(): ProjectId {
    return projectOf(this.request).projectId;
  }

  get principal(): Principal {
    return projectOf(this.request).principal;
  }

  get role(): Role {
    return projectOf(this.request).role;
  }
}
