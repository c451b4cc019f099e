import type { Request } from 'express';
import type { Principal, Role } from '../auth/principal.js';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';

/** What the guard has proven about a request: frozen, and the only source of the project for everything behind it. */
export interface RequestProject {
  readonly projectId: ProjectId;
  readonly principal: Principal;
  readonly role: Role;
}

/** A request after {@link ProjectGuard}. */
export interface ProjectRequest extends Request {
  project?: RequestProject;
}

/** @throws AppError `internal_error` when the guard has not run: no project is ever assumed. */
export function projectOf(request: ProjectRequest): RequestProject {
  if (!request.project) throw new AppError('internal_error', 'project-context', 'The request has no project.');
  return request.project;
}
