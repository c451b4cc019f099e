import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';

/**
 * What a feature does at once when a project is purged, so that no reader sees it any more; the keys themselves follow in
 * the background, all of `proj:<p>:`. It must be idempotent.
 */
export type PurgeHook = (projectId: ProjectId) => Promise<void>;

/** Keys that hide what the hook made invisible: the sweep removes them after all others. */
export type PurgeLast = (projectId: ProjectId) => readonly string[];

interface Part {
  readonly feature: string;
  readonly hook: PurgeHook;
  readonly last: PurgeLast;
}

/** The features' purge hooks; a feature registers its own when it starts. */
@Injectable()
export class PurgeRegistry {
  readonly #parts: Part[] = [];

  /** @param last only for a feature whose old data would come back to life if these keys went first. */
  register(feature: string, hook: PurgeHook, last: PurgeLast = () => []): void {
    this.#parts.push({ feature, hook, last });
  }

  get hooks(): readonly Part[] {
    return this.#parts;
  }

  /** All keys of the project that the sweep removes last. */
  last(projectId: ProjectId): string[] {
    return this.#parts.flatMap(({ last }) => last(projectId));
  }
}
