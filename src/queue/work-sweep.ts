import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { RedisConnections } from '../redis/redis-connections.js';
import { RedisGateway } from '../redis/redis-gateway.js';

/** Keys that one EXISTS asks for: some 0.1 ms of Redis. */
const GROUP = 256;
const SPLIT = 8;

/** A project, and its keys one of whose existence means work. */
export interface Place {
  readonly projectId: ProjectId;
  readonly keys: readonly string[];
}

/**
 * Which of many projects have work: keys are asked for in groups, and a group is only split where something exists, so
 * that ten thousand idle projects cost some forty commands. Reads no value.
 */
@Injectable()
export class WorkSweep {
  readonly #group: number;

  constructor(
    private readonly gateway: RedisGateway,
    connections: RedisConnections,
  ) {
    // On a Cluster one command may touch one slot, which is one project.
    this.#group = 'nodes' in connections.command('state') ? 1 : GROUP;
  }

  /** @throws AppError `redis_unavailable` */
  async withWork(places: readonly Place[]): Promise<ProjectId[]> {
    const found: ProjectId[] = [];
    for (let i = 0; i < places.length; i += this.#group)
      found.push(...(await this.#ask(places.slice(i, i + this.#group))));
    return found;
  }

  async #ask(places: readonly Place[]): Promise<ProjectId[]> {
    const keys = places.flatMap((place) => place.keys);
    const count = await this.gateway.call('state', 'queue.sweep', (client) => client.exists(...keys));
    if (count === 0) return [];
    if (places.length === 1 || count === keys.length) return places.map(({ projectId }) => projectId);
    const size = Math.ceil(places.length / SPLIT);
    const parts = Array.from({ length: Math.ceil(places.length / size) }, (_, i) =>
      places.slice(i * size, (i + 1) * size),
    );
    return (await Promise.all(parts.map((part) => this.#ask(part)))).flat();
  }
}
