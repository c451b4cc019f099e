import { Injectable, Logger } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { PurgeRegistry } from './purge.registry.js';
import { PurgeSweeper } from './purge.sweeper.js';

/** Removes a whole project: for its readers at once, from memory in the background. */
@Injectable()
export class PurgeService {
  readonly #log = new Logger('Purge');

  constructor(
    private readonly registry: PurgeRegistry,
    private readonly sweeper: PurgeSweeper,
  ) {}

  /**
   * Returns when no reader sees the project's data any more; the sweep goes on behind it. Repeating it is safe, and finishes
   * what a process that died left behind.
   * @throws AppError `redis_unavailable` when a feature could not do its part: all were tried, repeat the call.
   */
  async purge(projectId: ProjectId): Promise<void> {
    const parts = this.registry.hooks;
    const results = await Promise.allSettled(parts.map(async ({ hook }) => hook(projectId)));
    const failures = results.flatMap((result, i) =>
      result.status === 'rejected' ? [{ feature: parts[i]!.feature, cause: result.reason as unknown }] : [],
    );
    if (failures.length > 0) {
      this.#log.warn({ msg: 'purge failed', project_id: projectId, features: failures.map(({ feature }) => feature) });
      throw new AppError(
        'redis_unavailable',
        'purge',
        'A part of the project could not be purged now: repeat the call.',
        {
          cause: failures[0]!.cause,
          retryAfterSeconds: 1,
        },
      );
    }
    this.sweeper.sweep(projectId);
  }
}
