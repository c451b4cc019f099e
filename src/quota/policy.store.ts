import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { type LimitField, LimitsRegistry } from './limits.registry.js';
import { PolicyMemory } from './policy.memory.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaScripts } from './quota.scripts.js';
import { RefusalMemory } from './refusal.memory.js';

/** Policies that one project may have beside the declared ones: bounds the settings hash and what a list costs. */
const MAX_POLICIES = 1000;

/** The policies of a project: declared ones, and over them its owner's. */
@Injectable()
export class PolicyStore {
  constructor(
    private readonly scripts: QuotaScripts,
    private readonly keys: QuotaKeys,
    private readonly declared: LimitsRegistry,
    private readonly gateway: RedisGateway,
    private readonly memory: PolicyMemory,
    private readonly refusals: RefusalMemory,
  ) {}

  /** Sets an owner's policy: here from the next call on, in other processes at most a second later. */
  async put(projectId: ProjectId, field: LimitField, text: string): Promise<void> {
    try {
      if (!(await this.scripts.put(projectId, field, text, MAX_POLICIES)))
        throw new AppError('conflict', 'quota.put', `A project may have ${MAX_POLICIES} policies of its own.`);
    } finally {
      this.refusals.forget(projectId);
    }
  }

  /** The text of every policy of a kind, by name. */
  async all(projectId: ProjectId, kind: 'rate' | 'quota'): Promise<Map<string, string>> {
    const own = await this.gateway.call('state', 'quota.settings', (client) =>
      client.hgetall(this.keys.settings(projectId)),
    );
    const policies = new Map(this.declared.entries(kind));
    for (const [field, text] of Object.entries(own)) {
      if (field.startsWith(`${kind}:`)) policies.set(field.slice(kind.length + 1), text);
    }
    return policies;
  }

  /** The project was purged: nothing of it is remembered. */
  forget(projectId: ProjectId): void {
    this.memory.forget(projectId);
    this.refusals.forget(projectId);
  }
}
