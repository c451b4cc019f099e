import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AppError, isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import type { BucketPolicy, QuotaPolicy } from '../config/policies.dto.js';
import { invalid } from '../common/validation.js';
import { StatsRegistry } from '../monitoring/stats.registry.js';
import { RedisClock } from '../redis/redis-clock.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { LimitsRegistry, type LimitField } from './limits.registry.js';
import { bucketText, parsePolicy, quotaText, WINDOWS } from './policy.js';
import { noPolicy, refusal } from './quota.errors.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaMetrics } from './quota.metrics.js';
import { type Charged, fieldOf, QuotaScripts } from './quota.scripts.js';
import {
  quotaView,
  type BucketState,
  type ItemState,
  type QuotaItem,
  type RateItem,
  type RulesState,
} from './quota.state.js';

/** Policies that one project may have beside the declared ones: bounds the settings hash and what a list costs. */
const MAX_POLICIES = 1000;
const MAX_POINTS = 1500;
/** How many quotas the figures of a project show. */
const IN_STATS = 50;
const HOUR_MS = 3_600_000;
const USAGE_DEFAULT_MS = { minute: HOUR_MS, hour: 24 * HOUR_MS, day: 720 * HOUR_MS } as const;

export interface ChargeOptions {
  /** The value of `Idempotency-Key`: the first accepted answer is given again for 10 minutes, and charged once. */
  readonly idempotencyKey?: string | undefined;
}

/** Which part of a usage series is asked for. */
export interface UsageRange {
  readonly granularity: keyof typeof USAGE_DEFAULT_MS;
  /** Unix ms; by default an hour, a day or 30 days before `to`. */
  readonly from?: number | undefined;
  /** Unix ms, exclusive; by default now. */
  readonly to?: number | undefined;
}

/** The verdict over all items of a call: all were charged or none. */
export interface Verdict {
  readonly allowed: boolean;
  /** In the order in which they were asked for. */
  readonly items: readonly ItemState[];
}

/**
 * Rate limits and quotas of a project. Redis decides, in one script a call: nothing is counted in the process.
 * Rate limits are open when Redis gives no answer, quotas closed (`redis_unavailable`): they guard money.
 */
@Injectable()
export class QuotaService implements OnModuleInit {
  constructor(
    private readonly scripts: QuotaScripts,
    private readonly keys: QuotaKeys,
    private readonly declared: LimitsRegistry,
    private readonly gateway: RedisGateway,
    private readonly clock: RedisClock,
    private readonly metrics: QuotaMetrics,
    private readonly stats: StatsRegistry,
  ) {}

  onModuleInit(): void {
    this.stats.register('quotas', async (projectId) =>
      (await this.list(projectId, { limit: IN_STATS })).items.map(({ resource, state }) => quotaView(resource, state)),
    );
  }

  /**
   * Takes from several rate limits at once: what the guard asks before each request.
   * @returns the buckets that have a policy, or `undefined` when Redis gave no answer: the call passes then.
   */
  async hit(projectId: ProjectId, rules: readonly RateItem[]): Promise<Charged<BucketState | undefined> | undefined> {
    try {
      const charged = await this.scripts.hit(projectId, rules);
      if (!charged.allowed) this.metrics.refused('rate');
      return charged;
    } catch (error) {
      this.#passOpen(error);
      return undefined;
    }
  }

  /**
   * Charges quotas and rate limits together: all or nothing; the same name twice is summed.
   * A refusal is a verdict here; {@link consumeAll} throws it.
   * @param op names the operation for errors and for the scope of the Idempotency-Key.
   * @throws AppError `not_found` for an item without policy, `conflict` for a key that was used with another body,
   * `redis_unavailable` unless all items are rate limits.
   */
  async charge(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    { idempotencyKey }: ChargeOptions = {},
    op = 'quota.consume-all',
  ): Promise<Verdict> {
    const summed = sum(items);
    const replay = this.keys.replay(projectId, op, idempotencyKey, items);
    try {
      const charged = await this.scripts.charge(projectId, [...summed.values()], replay);
      if (!charged) throw noPolicy(op);
      if (!charged.allowed) this.metrics.refused(items.every((item) => 'action' in item) ? 'rate' : 'quota');
      const states = new Map([...summed.keys()].map((field, i) => [field, charged.states[i]!]));
      return {
        allowed: charged.allowed,
        items: items.map((item) => ({ item, state: states.get(fieldOf(item))! })),
      };
    } catch (error) {
      if (!items.every((item) => 'action' in item)) throw error;
      this.#passOpen(error);
      return { allowed: true, items: items.map((item) => ({ item, state: { windows: [] }, degraded: true })) };
    }
  }

  /** Charges an amount of one resource. @throws AppError `quota_exceeded`, and as {@link charge}. */
  async consume(
    projectId: ProjectId,
    resource: string,
    amount: number,
    options: ChargeOptions = {},
  ): Promise<RulesState> {
    const verdict = await this.charge(projectId, [{ resource, amount }], options, 'quota.consume');
    if (!verdict.allowed) throw refusal('quota.consume', verdict.items);
    return verdict.items[0]!.state;
  }

  /** Charges several quotas and rate limits: all or nothing. @throws AppError `quota_exceeded`, `rate_limited`, and as {@link charge}. */
  async consumeAll(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    options: ChargeOptions = {},
  ): Promise<readonly ItemState[]> {
    const verdict = await this.charge(projectId, items, options);
    if (!verdict.allowed) throw refusal('quota.consume-all', verdict.items, true);
    return verdict.items;
  }

  /** Takes `cost` from a rate limit. @throws AppError `rate_limited`, and as {@link charge}. */
  async consumeRate(projectId: ProjectId, action: string, cost = 1, options: ChargeOptions = {}): Promise<ItemState> {
    const { allowed, items } = await this.chargeRate(projectId, action, cost, options);
    if (!allowed) throw refusal('quota.consume-rate', items);
    return items[0]!;
  }

  /** As {@link consumeRate}, but a refusal is a verdict. */
  async chargeRate(projectId: ProjectId, action: string, cost: number, options: ChargeOptions): Promise<Verdict> {
    const op = 'quota.consume-rate';
    const item = { action, cost };
    if (options.idempotencyKey !== undefined) return this.charge(projectId, [item], options, op);
    const charged = await this.hit(projectId, [item]);
    if (!charged) return { allowed: true, items: [{ item, state: { windows: [] }, degraded: true }] };
    const [bucket] = charged.states;
    if (!bucket) throw noPolicy(op);
    return { allowed: charged.allowed, items: [{ item, state: { windows: [], bucket } }] };
  }

  /** The state of one resource. @throws AppError `not_found` when it has no policy. */
  async get(projectId: ProjectId, resource: string): Promise<RulesState> {
    const states = await this.scripts.read(projectId, [resource]);
    if (!states) throw noPolicy('quota.get');
    return states[0]!;
  }

  /** The state of the resources that have a policy, by name: at most `limit`, after the name `after`. */
  async list(
    projectId: ProjectId,
    { limit, after }: { limit: number; after?: string | undefined },
  ): Promise<{ items: { resource: string; state: RulesState }[]; next?: string }> {
    const page = pageOf([...(await this.#policies(projectId, 'quota')).keys()], limit, after);
    const states = page.names.length === 0 ? [] : await this.scripts.read(projectId, page.names);
    if (!states) throw noPolicy('quota.list');
    return {
      items: page.names.map((resource, i) => ({ resource, state: states[i]! })),
      ...(page.next === undefined ? {} : { next: page.next }),
    };
  }

  /** Replaces the limits of a resource from the next call on; what was consumed stays consumed. */
  async put(projectId: ProjectId, resource: string, policy: QuotaPolicy): Promise<RulesState> {
    await this.#put(projectId, `quota:${resource}`, quotaText(policy));
    return this.get(projectId, resource);
  }

  /** The rate limits that have a policy, by name: at most `limit`, after the name `after`. */
  async listRates(
    projectId: ProjectId,
    { limit, after }: { limit: number; after?: string | undefined },
  ): Promise<{ items: ({ action: string } & BucketPolicy)[]; next?: string }> {
    const policies = await this.#policies(projectId, 'rate');
    const page = pageOf([...policies.keys()], limit, after);
    return {
      items: page.names.map((action) => ({ action, ...parsePolicy(policies.get(action)!).bucket! })),
      ...(page.next === undefined ? {} : { next: page.next }),
    };
  }

  /** Replaces the policy of an action from the next call on; what was consumed stays consumed. */
  async putRate(projectId: ProjectId, action: string, policy: BucketPolicy): Promise<void> {
    await this.#put(projectId, `rate:${action}`, bucketText(policy));
  }

  /**
   * What was charged per window, over the windows that begin from `from` on and before `to` (Unix ms), oldest first.
   * @throws AppError `not_found` when the resource has no policy, `validation_failed` for more than 1,500 windows.
   */
  async usage(
    projectId: ProjectId,
    resource: string,
    { granularity, to = this.clock.now('state'), from = to - USAGE_DEFAULT_MS[granularity] }: UsageRange,
  ): Promise<{ start: number; used: number }[]> {
    if (from < 0 || from >= to) throw invalid('quota.usage', [{ field: 'from', message: 'must be before `to`' }]);
    if (to - from > MAX_POINTS * WINDOWS[granularity].longestMs)
      throw invalid('quota.usage', [{ field: 'from', message: `must be at most ${MAX_POINTS} windows before \`to\`` }]);
    // Settles what is due, so that limit and series never differ.
    await this.get(projectId, resource);
    const starts = WINDOWS[granularity].starts(from, to);
    const keys = starts.map((start) => this.keys.cell(projectId, resource, granularity, start / 1000));
    const cells = await this.gateway.call('state', 'quota.usage', (client) => client.mget(keys));
    return starts.map((start, i) => ({ start, used: Number.parseInt(cells[i] ?? '0', 10) }));
  }

  /** What the project has limits for. */
  async names(
    projectId: ProjectId,
  ): Promise<{ rates: { action: string; windowSeconds: number }[]; resources: string[] }> {
    const [rates, quotas] = await Promise.all([this.#policies(projectId, 'rate'), this.#policies(projectId, 'quota')]);
    return {
      rates: [...rates].map(([action, text]) => ({ action, windowSeconds: parsePolicy(text).bucket!.window_seconds })),
      resources: [...quotas.keys()],
    };
  }

  async #put(projectId: ProjectId, field: LimitField, text: string): Promise<void> {
    if (!(await this.scripts.put(projectId, field, text, MAX_POLICIES))) {
      throw new AppError('conflict', 'quota.put', `A project may have ${MAX_POLICIES} policies of its own.`);
    }
  }

  async #policies(projectId: ProjectId, kind: 'rate' | 'quota'): Promise<Map<string, string>> {
    const own = await this.gateway.call('state', 'quota.settings', (client) =>
      client.hgetall(this.keys.settings(projectId)),
    );
    const policies = new Map(this.declared.entries(kind));
    for (const [field, text] of Object.entries(own)) {
      if (field.startsWith(`${kind}:`)) policies.set(field.slice(kind.length + 1), text);
    }
    return policies;
  }

  #passOpen(error: unknown): void {
    if (!isAppError(error, 'redis_unavailable', 'storage_full')) throw error;
    this.metrics.degraded();
  }
}

function sum(items: readonly (RateItem | QuotaItem)[]): Map<LimitField, RateItem | QuotaItem> {
  const summed = new Map<LimitField, RateItem | QuotaItem>();
  for (const item of items) {
    const field = fieldOf(item);
    const before = summed.get(field);
    if (before === undefined) summed.set(field, item);
    else if ('action' in item) summed.set(field, { ...item, cost: item.cost + (before as RateItem).cost });
    else summed.set(field, { ...item, amount: item.amount + (before as QuotaItem).amount });
  }
  return summed;
}

function pageOf(names: string[], limit: number, after?: string): { names: string[]; next?: string } {
  const rest = names.filter((name) => after === undefined || name > after).sort();
  const page = rest.slice(0, limit);
  return rest.length > limit ? { names: page, next: page.at(-1)! } : { names: page };
}
