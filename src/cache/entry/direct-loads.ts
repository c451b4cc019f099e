import type { ProjectId } from '../../common/project-id.js';

/** Loads of one project that run beside the cache at once. */
const PARALLEL = 16;

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/**
 * Loads while Redis is away: one of an entry at a time, {@link PARALLEL} of a project; the others wait. Whoever comes while a
 * load of its entry runs shares it: without Redis nobody can know of an invalidation in between.
 */
export class DirectLoads {
  readonly #loads = new Map<string, Promise<unknown>>();
  readonly #lanes = new Map<ProjectId, Lane>();

  /** @param key the entry's: it names the project too. */
  share<T>(projectId: ProjectId, key: string, load: () => Promise<T>): Promise<T> {
    const running = this.#loads.get(key) as Promise<T> | undefined;
    if (running) return running;
    const started = this.#inLane(projectId, load).finally(() => this.#loads.delete(key));
    this.#loads.set(key, started);
    return started;
  }

  async #inLane<T>(projectId: ProjectId, load: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(projectId) ?? { running: 0, waiting: [] };
    this.#lanes.set(projectId, lane);
    if (lane.running >= PARALLEL) await new Promise<void>((resolve) => lane.waiting.push(resolve));
    else lane.running += 1;
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
