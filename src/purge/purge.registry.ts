import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';

/**
 * What a feature does at once when a project is purged, so that no reader sees it any more; the keys themselves follow in
 * the background, all of `proj:<p>:`. It must be idempotent.
 */
export type PurgeHook = (projectId: ProjectId) => Promise<void>;

/** The features' purge hooks; a feature registers its own when it starts. */
@Injectable()
export class PurgeRegistry {
  readonly #hooks: { feature: string; hook: PurgeHook }[] = [];

  register(feature: string, hook: PurgeHook): void {
    this.#hooks.push({ feature, hook });
  }

  get hooks(): readonly { feature: string; hook: PurgeHook }[] {
    return this.#hooks;
  }
}
