import { setImmediate as turn } from 'node:timers/promises';
import type { ProjectId } from '../../common/project-id.js';

/** Loads of one project that run beside the cache at once. */
const PARALLEL = 16;

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/**
 * Loads while Redis gives no answer: {@link PARALLEL} of a project at a time, the others wait. Whoever comes while a load of
 * his entry waits shares it, but not one that has begun: Redis may have been away for this caller alone, and another may have
 * changed the entry in between.
 */
export class DirectLoads {
  readonly #waiting = new Map<string, Promise<unknown>>();
  readonly #lanes = new Map<ProjectId, Lane>();

  /** @param key the entry's: it names the project too. */
  share<T>(projectId: ProjectId, key: string, load: () => Promise<T>): Promise<T> {
    const waiting = this.#waiting.get(key) as Promise<T> | undefined;
    if (waiting) return waiting;
    const loaded = this.#inLane(projectId, () => {
      this.#waiting.delete(key);
      return load();
    });
    this.#waiting.set(key, loaded);
    return loaded;
  }

  async #inLane<T>(projectId: ProjectId, load: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(projectId) ?? { running: 0, waiting: [] };
    this.#lanes.set(projectId, lane);
    if (lane.running >= PARALLEL) await new Promise<void>((resolve) => lane.waiting.push(resolve));
    else {
      lane.running += 1;
      // What is asked for in the same turn is loaded once.
      await turn();
    }
    try {
      return await load();
    } finally {
      // The place goes to the next in the lane, or is free.
      const next = lane.waiting.shift();
      if (next) next();
      else lane.running -= 1;
      if (lane.running === 0) this.#lanes.delete(projectId);
    }
  }
}
