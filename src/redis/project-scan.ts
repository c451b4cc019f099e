import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import type { RedisRole } from './connection-options.js';
import { KeyBuilder } from './key-builder.js';
import { type RedisClient, RedisConnections } from './redis-connections.js';
import { RedisGateway } from './redis-gateway.js';

export interface ScanOptions {
  /** Keys of the whole server that one step looks at (`SCAN … COUNT`): about 0.3 ms of Redis for 500. */
  readonly count?: number;
  /** Rest between two steps, in milliseconds, in which Redis serves the others. */
  readonly pauseMs?: number;
  /** Ends the walk early, without an error: look at `signal.aborted` to know. */
  readonly signal?: AbortSignal;
}

/**
 * Walks over all keys of one project on the servers of a role, paced: for background sweeps, never for a request.
 *
 * Each key that exists from the beginning to the end is seen at least once, and may be seen twice (SCAN's guarantee). The
 * time that it takes depends on the size of the whole server, not of the project.
 */
@Injectable()
export class ProjectScan {
  constructor(
    private readonly connections: RedisConnections,
    private readonly gateway: RedisGateway,
    private readonly keys: KeyBuilder,
  ) {}

  /**
   * @returns the keys in batches, none of them empty; the next step waits until the caller asks for it.
   * @throws AppError `redis_unavailable`: the walk is over and must begin anew.
   */
  async *batches(
    projectId: ProjectId,
    role: RedisRole,
    { count, pauseMs, signal }: ScanOptions = {},
  ): AsyncGenerator<string[], void, void> {
    const prefix = this.keys.prefix(projectId);
    for await (const batch of this.#walk(role, this.keys.scanPattern(projectId), { count, pauseMs, signal })) {
      const found = batch.filter((key) => key.startsWith(prefix));
      if (found.length > 0) yield found;
    }
  }

  /**
   * Finds projects nobody told us of, by a queue of theirs. The only look at more than one project's keys there is; it reads
   * no values.
   * @returns each project at least once, in no order.
   */
  async *projectsWithQueue(queue: string, signal: AbortSignal): AsyncGenerator<ProjectId, void, void> {
    const pattern = this.keys.queuePattern(queue);
    for await (const batch of this.#walk('state', pattern, { signal })) {
      for (const projectId of new Set(batch.map((key) => this.keys.projectOf(key)))) {
        if (projectId !== undefined) yield projectId;
      }
    }
  }

  async *#walk(
    role: RedisRole,
    pattern: string,
    { count = 500, pauseMs = 4, signal }: { [K in keyof ScanOptions]: ScanOptions[K] | undefined },
  ): AsyncGenerator<string[], void, void> {
    for (const node of nodesOf(this.connections.command(role))) {
      let cursor = '0';
      do {
        if (signal?.aborted) return;
        const step = await this.gateway.call(role, 'redis.scan', () =>
          node.scan(cursor, 'MATCH', pattern, 'COUNT', count),
        );
        cursor = step[0];
        if (step[1].length > 0) yield step[1];
        if (cursor !== '0') await pause(pauseMs, undefined, signal ? { signal } : {}).catch(() => undefined);
      } while (cursor !== '0');
    }
  }
}

// A Cluster has no SCAN of its own: each master tells its part.
function nodesOf(client: RedisClient): Pick<RedisClient, 'scan'>[] {
  return 'nodes' in client ? client.nodes('master') : [client];
}
