import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import type { RedisRole } from '../redis/connection-options.js';
import { ProjectScan } from '../redis/project-scan.js';
import { RedisConnections } from '../redis/redis-connections.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { PurgeRegistry } from './purge.registry.js';

const RETRY_MS = 1000;

/**
 * Unlinks all keys of purged projects in the background, paced, one project after the other, so that its load on Redis is
 * the same however many are purged. What Redis interrupts begins anew; a shutdown ends it.
 */
@Injectable()
export class PurgeSweeper implements OnModuleDestroy {
  readonly #log = new Logger('Purge');
  readonly #waiting = new Set<ProjectId>();
  readonly #shutdown = new AbortController();
  #current: { readonly projectId: ProjectId; readonly controller: AbortController } | undefined;
  #working: Promise<void> | undefined;

  constructor(
    private readonly registry: PurgeRegistry,
    private readonly scan: ProjectScan,
    private readonly gateway: RedisGateway,
    private readonly connections: RedisConnections,
  ) {}

  /** Sweeps the project when its turn comes; a sweep of it that is under way starts again. */
  sweep(projectId: ProjectId): void {
    this.#waiting.add(projectId);
    if (this.#current?.projectId === projectId) this.#current.controller.abort();
    this.#working ??= this.#work();
  }

  async onModuleDestroy(): Promise<void> {
    this.#shutdown.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    // A Set shows what is added while it is walked over.
    for (const projectId of this.#waiting) {
      if (this.#shutdown.signal.aborted) break;
      this.#waiting.delete(projectId);
      const controller = new AbortController();
      this.#current = { projectId, controller };
      await this.#finish(projectId, AbortSignal.any([controller.signal, this.#shutdown.signal]));
      this.#current = undefined;
    }
    this.#working = undefined;
  }

  async #finish(projectId: ProjectId, signal: AbortSignal): Promise<void> {
    const start = monotonicMs();
    let keys = 0;
    while (!signal.aborted) {
      try {
        keys += await this.#pass(projectId, signal);
        const ms = Math.round(monotonicMs() - start);
        if (!signal.aborted) this.#log.log({ msg: 'project purged', project_id: projectId, keys, ms });
        return;
      } catch (error) {
        this.#log.warn({ msg: 'sweep begins anew', project_id: projectId, reason: (error as Error).message });
        await pause(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  // Documents first: what hides them may stand on the state server.
  async #pass(projectId: ProjectId, signal: AbortSignal): Promise<number> {
    const roles: RedisRole[] = this.connections.separateCache ? ['cache', 'state'] : ['state'];
    const last = this.registry.last(projectId);
    let count = 0;
    for (const role of roles) {
      for await (const batch of this.scan.batches(projectId, role, { signal })) {
        count += await this.#unlink(
          role,
          batch.filter((key) => !last.includes(key)),
        );
      }
    }
    if (signal.aborted) return count;
    // Truth before copy: a reader between the two would make the copy again.
    for (const role of roles.toReversed()) count += await this.#unlink(role, last);
    return count;
  }

  async #unlink(role: RedisRole, keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0;
    return this.gateway.call(role, 'purge.unlink', (client) => client.unlink(...keys));
  }
}
