import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { RedisClock } from '../redis/redis-clock.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { PolicyStore } from './policy.store.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaService } from './quota.service.js';

/** Resets a purged project at once: settings, counters, series and open holds. Ended holds and the
 * buckets of users follow with the sweep. */
@Injectable()
export class QuotaPurge implements OnModuleInit {
  constructor(
    private readonly purges: PurgeRegistry,
    private readonly quotas: QuotaService,
    private readonly policies: PolicyStore,
    private readonly keys: QuotaKeys,
    private readonly gateway: RedisGateway,
    private readonly clock: RedisClock,
  ) {}

  onModuleInit(): void {
    this.purges.register('quota', (projectId) => this.#purge(projectId));
  }

  async #purge(projectId: ProjectId): Promise<void> {
    const names = await this.quotas.names(projectId);
    const holds = await Promise.all(
      names.resources.map(async (resource) => {
        const ids = await this.gateway.call('state', 'quota.purge', (client) =>
          client.zrange(this.keys.due(projectId, resource), '0', '-1'),
        );
        return ids.map((id) => this.keys.hold(projectId, resource, id));
      }),
    );
    const now = this.clock.now('state');
    const keys = [
      ...names.rates.map(({ action, windowSeconds }) => this.keys.rateBucket(projectId, action, windowSeconds)),
      ...names.resources.flatMap((resource) => this.keys.allOf(projectId, resource, now)),
      ...holds.flat(),
      this.keys.settings(projectId),
    ];
    for (let i = 0; i < keys.length; i += 500) {
      await this.gateway.call('state', 'quota.purge', (client) => client.unlink(keys.slice(i, i + 500)));
    }
    this.policies.forget(projectId);
  }
}
