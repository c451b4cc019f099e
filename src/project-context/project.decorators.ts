import { createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import type { Access } from '../auth/principal.js';
import { type ProjectRequest, projectOf, type RequestProject } from './request-project.js';

export const ACCESS = 'project-context:access';
export const PUBLIC = 'project-context:public';

/** Who may use a route: a row of the contract's table "may". Each route under `projects/:project_id` must have one. */
export const Requires = (access: Access): MethodDecorator & ClassDecorator => SetMetadata(ACCESS, access);

/** A route outside every project, open to all: health and metrics, nothing else. */
export const Public = (): MethodDecorator & ClassDecorator => SetMetadata(PUBLIC, true);

/**
 * The same object as {@link ProjectContext} gives, as a parameter: for the hot routes of singleton controllers, which then
 * pay no dependency injection per request. ARCHITECTURE.md lists them.
 */
export const Project = createParamDecorator((_data: unknown, context: ExecutionContext): RequestProject =>
  projectOf(context.switchToHttp().getRequest<ProjectRequest>()),
);
