import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Lru } from '../common/lru.js';
import { isName } from '../common/names.js';
import type { ProjectId } from '../common/project-id.js';
import { Stopping } from '../common/stopping.js';
import { monotonicMs } from '../common/time.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import type { RedisRole } from '../redis/connection-options.js';
import { KeyBuilder } from '../redis/key-builder.js';
import { ProjectScan } from '../redis/project-scan.js';
import { RedisClock } from '../redis/redis-clock.js';
import { RedisConnections } from '../redis/redis-connections.js';
import { RedisGateway } from '../redis/redis-gateway.js';

const REFRESH_MS = 60_000;
const MAX_PROJECTS = 1000;
const MAX_KINDS = 50;
const OTHER = 'other';

/** Keys of one kind and the memory that they take, overhead of Redis included. */
export interface KindSize {
  count: number;
  bytes: number;
}

/** What a walk over a project's keys found. A key that Redis moved during the walk may count twice. */
export interface Measurement {
  /** By the first part of the key after the project's prefix. */
  readonly kinds: ReadonlyMap<string, KindSize>;
  /** Unix ms, Redis time, at the end of the walk. */
  readonly measuredAt: number;
}

/**
 * Measures projects in the background: started by whoever asks, at most once a minute for a project, one project at a time in
 * the process, paced. The last results of up to 1,000 projects are kept.
 */
@Injectable()
export class KeySweep implements OnModuleInit {
  readonly #log = new Logger('KeySweep');
  readonly #measured = new Lru<ProjectId, { result: Measurement; at: number }>(MAX_PROJECTS);
  readonly #due = new Set<ProjectId>();
  #sweeping = false;

  constructor(
    private readonly scan: ProjectScan,
    private readonly gateway: RedisGateway,
    private readonly keys: KeyBuilder,
    private readonly clock: RedisClock,
    private readonly connections: RedisConnections,
    private readonly stopping: Stopping,
    private readonly purge: PurgeRegistry,
  ) {}

  onModuleInit(): void {
    this.purge.register('monitoring', async (projectId) => this.#measured.delete(projectId));
  }

  /** @returns the last measurement, or `undefined` before the first; asks for a new one when it is older than a minute. */
  latest(projectId: ProjectId): Measurement | undefined {
    const known = this.#measured.get(projectId);
    if (!known || monotonicMs() - known.at > REFRESH_MS) {
      if (this.#due.size < MAX_PROJECTS) this.#due.add(projectId);
      void this.#sweep();
    }
    return known?.result;
  }

  // A Set keeps the order, takes no project twice, and its iterator goes on with what is added meanwhile.
  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    for (const projectId of this.#due) {
      try {
        const result = await this.#measure(projectId);
        if (result) this.#measured.set(projectId, { result, at: monotonicMs() });
      } catch (error) {
        // Redis is away: the next one who asks starts it again.
        this.#log.debug({ msg: 'sweep failed', project_id: projectId, reason: (error as Error).message });
      }
      this.#due.delete(projectId);
    }
    this.#sweeping = false;
  }

  async #measure(projectId: ProjectId): Promise<Measurement | undefined> {
    const kinds = new Map<string, KindSize>();
    const roles: RedisRole[] = this.connections.separateCache ? ['state', 'cache'] : ['state'];
    const { signal } = this.stopping;
    for (const role of roles) {
      for await (const batch of this.scan.batches(projectId, role, { signal })) {
        const sizes = await this.gateway.call(role, 'monitoring.sweep', (client) =>
          Promise.all(batch.map((key) => client.memory('USAGE', key))),
        );
        for (const [i, key] of batch.entries()) this.#add(kinds, projectId, key, sizes[i]);
      }
    }
    return signal.aborted ? undefined : { kinds, measuredAt: this.clock.now('state') };
  }

  // A key without a size is gone by now. Other programs name keys too; whatever they do, the answer stays short.
  #add(kinds: Map<string, KindSize>, projectId: ProjectId, key: string, bytes: number | null | undefined): void {
    if (typeof bytes !== 'number') return;
    const first = this.keys.parts(projectId, key)?.[0];
    const kind = isName(first) && (kinds.has(first) || kinds.size < MAX_KINDS) ? first : OTHER;
    const size = kinds.get(kind) ?? { count: 0, bytes: 0 };
    kinds.set(kind, { count: size.count + 1, bytes: size.bytes + bytes });
  }
}
