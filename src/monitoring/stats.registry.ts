import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';

/** What a feature tells about one project in `GET /stats`; JSON in the contract's style, of this project alone. */
export type StatsSection = (projectId: ProjectId) => Promise<unknown>;

/** The features' sections of `GET /stats`; a feature registers its own when it starts. */
@Injectable()
export class StatsRegistry {
  readonly #sections = new Map<string, StatsSection>();

  register(name: string, section: StatsSection): void {
    if (this.#sections.has(name)) throw new Error(`stats: the section ${name} is registered twice.`);
    this.#sections.set(name, section);
  }

  /** @throws what a section throws: half an answer would look like a whole one. */
  async collect(projectId: ProjectId): Promise<Record<string, unknown>> {
    const entries = await Promise.all(
      [...this.#sections].map(async ([name, section]) => [name, await section(projectId)] as const),
    );
    return Object.fromEntries(entries);
  }
}
