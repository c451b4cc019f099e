import { applyDecorators, Controller } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems } from '../common/http/api-problems.js';
import { PROJECT_BASE } from './route-audit.js';

/**
 * A controller under `/v1/projects/{project_id}/<path>`, with the errors that every such route may answer.
 * Each of its routes must say with `@Requires()` who may use it.
 */
export function ProjectController(path: string, tag = path): ClassDecorator {
  return applyDecorators(
    Controller(path === '' ? PROJECT_BASE : `${PROJECT_BASE}/${path}`),
    ApiTags(tag),
    ApiBearerAuth('bearer'),
    ApiCookieAuth('session'),
    ApiParam({ name: 'project_id', format: 'uuid', description: 'The project: a UUID, neither nil nor max.' }),
    ApiProblems(
      'project_id_invalid',
      'validation_failed',
      'unauthenticated',
      'forbidden',
      'rate_limited',
      'internal_error',
      'auth_unavailable',
      'redis_unavailable',
    ),
  );
}
