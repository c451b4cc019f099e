import { Injectable, type OnModuleInit } from '@nestjs/common';
import { isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { invalid } from '../common/validation.js';
import type { QuotaPolicy, RatePolicy } from '../config/policies.dto.js';
import { StatsRegistry } from '../monitoring/stats.registry.js';
import { LimitsRegistry } from './limits.registry.js';
import { PolicyMemory } from './policy.memory.js';
import { PolicyStore } from './policy.store.js';
import { quotaText, ratePolicyView, rateText, readPolicy } from './policy.js';
import { noPolicy, refusal } from './quota.errors.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaMetrics } from './quota.metrics.js';
import { pageOf, sum } from './quota.items.js';
import { fieldOf, QuotaScripts } from './quota.scripts.js';
import {
  type ItemState,
  type QuotaItem,
  quotaView,
  type RateItem,
  type RulesState,
  wouldRefuse,
} from './quota.state.js';
import { RefusalMemory } from './refusal.memory.js';
import { type UsagePoint, type UsageRange, UsageSeries } from './usage.series.js';

export type { UsageRange } from './usage.series.js';

/** How many quotas the figures of a project show. */
const IN_STATS = 50;

export interface ChargeOptions {
  /** The value of `Idempotency-Key`: the first accepted answer is given again for 10 minutes, and charged once. */
  readonly idempotencyKey?: string | undefined;
  /** The user of the project that a policy per user counts; without one it does not apply. */
  readonly user?: string | undefined;
}

/** The verdict over all items of a call: all were charged or none. */
export interface Verdict {
  readonly allowed: boolean;
  /** In the order in which they were asked for; where a rate limit refuses from memory, only those that refuse. */
  readonly items: readonly ItemState[];
}

/**
 * Rate limits and quotas of a project. Redis decides, in one script a call: nothing is counted in the process.
 * When Redis gives no answer, rate limits are open and quotas closed (`redis_unavailable`), unless their policy says otherwise.
 */
@Injectable()
export class QuotaService implements OnModuleInit {
  constructor(
    private readonly scripts: QuotaScripts,
    private readonly keys: QuotaKeys,
    private readonly declared: LimitsRegistry,
    private readonly policies: PolicyStore,
    private readonly memory: PolicyMemory,
    private readonly refusals: RefusalMemory,
    private readonly series: UsageSeries,
    private readonly metrics: QuotaMetrics,
    private readonly stats: StatsRegistry,
  ) {}

  onModuleInit(): void {
    this.stats.register('quotas', async (projectId) =>
      (await this.list(projectId, { limit: IN_STATS })).items.map(({ resource, state }) => quotaView(resource, state)),
    );
  }

  /**
   * Takes from several rate limits at once: what the guard asks before each request. An action without policy limits nothing.
   * @param rules no two alike.
   * @returns the verdict over those that have a policy, or `undefined` when Redis gave no answer: the call passes then.
   * @throws AppError `redis_unavailable` when one of them is closed without Redis.
   */
  async hit(
    projectId: ProjectId,
    rules: readonly RateItem[],
    { user }: Pick<ChargeOptions, 'user'> = {},
  ): Promise<Verdict | undefined> {
    const refused = rules.flatMap((item) => {
      const known = this.refusals.find(projectId, item, user);
      return known?.refuses ? [known] : [];
    });
    if (refused.length > 0) return this.#verdict(projectId, { allowed: false, items: refused });
    const sent = monotonicMs();
    try {
      const { allowed, states } = await this.scripts.hit(projectId, rules, { user });
      const items = rules.flatMap((item, i) => {
        const state = states[i];
        return state ? [{ item, state }] : [];
      });
      return this.#verdict(projectId, { allowed, items }, { sent, user });
    } catch (error) {
      this.#passOpen(projectId, rules, error);
      return undefined;
    }
  }

  /**
   * Charges quotas and rate limits together: all or nothing; the same name twice is summed.
   * A refusal is a verdict here; {@link consumeAll} throws it.
   * @param op names the operation for errors and for the scope of the Idempotency-Key.
   * @throws AppError `not_found` for an item without policy, `validation_failed` for a kind that the policy does not know,
   * `conflict` for a key that was used with another body, `redis_unavailable` unless all items are open without Redis.
   */
  async charge(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    { idempotencyKey, user }: ChargeOptions = {},
    op = 'quota.consume-all',
  ): Promise<Verdict> {
    // A repetition is answered as the first time, whatever was refused since.
    if (idempotencyKey === undefined) {
      const known = items.flatMap((item) => this.refusals.find(projectId, item, user) ?? []);
      if (known.length === items.length && known.some(({ refuses }) => refuses))
        return this.#verdict(projectId, { allowed: false, items: known });
    }
    const sent = monotonicMs();
    try {
      const verdict = await this.#ask(projectId, items, { idempotencyKey, user }, op, false);
      return this.#verdict(projectId, verdict, { sent, user });
    } catch (error) {
      this.#passOpen(projectId, items, error);
      return { allowed: true, items: items.map((item) => ({ item, state: { windows: [] }, degraded: true })) };
    }
  }

  /** Looks whether {@link charge} would pass, and how all rules stand; charges nothing. @throws AppError as {@link charge}. */
  async peek(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    { user }: Pick<ChargeOptions, 'user'> = {},
  ): Promise<Verdict> {
    return this.#ask(projectId, items, { user }, 'quota.peek', true);
  }

  /** Charges an amount of one resource. @throws AppError `quota_exceeded`, and as {@link charge}. */
  async consume(
    projectId: ProjectId,
    resource: string,
    amount: number,
    options: ChargeOptions & Pick<QuotaItem, 'kinds'> = {},
  ): Promise<RulesState> {
    const { kinds, ...rest } = options;
    const { state } = await this.consumeItem(projectId, { resource, amount, ...(kinds ? { kinds } : {}) }, rest);
    return state;
  }

  /** As {@link consume}, and says whether it passed unchecked. */
  async consumeItem(projectId: ProjectId, item: QuotaItem, options: ChargeOptions = {}): Promise<ItemState> {
    const verdict = await this.charge(projectId, [item], options, 'quota.consume');
    if (!verdict.allowed) throw refusal('quota.consume', verdict.items);
    return verdict.items[0]!;
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
  chargeRate(projectId: ProjectId, action: string, cost: number, options: ChargeOptions = {}): Promise<Verdict> {
    return this.charge(projectId, [{ action, cost }], options, 'quota.consume-rate');
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
    const page = pageOf([...(await this.policies.all(projectId, 'quota')).keys()], limit, after);
    const states = page.names.length === 0 ? [] : await this.scripts.read(projectId, page.names);
    if (!states) throw noPolicy('quota.list');
    return {
      items: page.names.map((resource, i) => ({ resource, state: states[i]! })),
      ...(page.next === undefined ? {} : { next: page.next }),
    };
  }

  /** Replaces the limits of a resource; what was consumed stays consumed. Elsewhere it holds at most a second later. */
  async put(projectId: ProjectId, resource: string, policy: QuotaPolicy): Promise<RulesState> {
    await this.policies.put(projectId, `quota:${resource}`, quotaText(policy));
    return this.get(projectId, resource);
  }

  /** The rate limits that have a policy, by name: at most `limit`, after the name `after`. */
  async listRates(
    projectId: ProjectId,
    { limit, after }: { limit: number; after?: string | undefined },
  ): Promise<{ items: ({ action: string } & RatePolicy)[]; next?: string }> {
    const policies = await this.policies.all(projectId, 'rate');
    const page = pageOf([...policies.keys()], limit, after);
    return {
      items: page.names.map((action) => ({ action, ...ratePolicyView(policies.get(action)!) })),
      ...(page.next === undefined ? {} : { next: page.next }),
    };
  }

  /** Replaces the policy of an action; what was consumed stays consumed. Elsewhere it holds at most a second later. */
  async putRate(projectId: ProjectId, action: string, policy: RatePolicy): Promise<void> {
    await this.policies.put(projectId, `rate:${action}`, rateText(policy));
  }

  /**
   * What was charged per window, over the windows that begin from `from` on and before `to` (Unix ms), oldest first.
   * @throws AppError `not_found` when the resource has no policy, `validation_failed` for more than 1,500 windows.
   */
  async usage(projectId: ProjectId, resource: string, range: UsageRange): Promise<UsagePoint[]> {
    // Settles what is due, so that limit and series never differ.
    return this.series.read(projectId, resource, range, () => this.get(projectId, resource));
  }

  /** What the project has limits for. */
  async names(
    projectId: ProjectId,
  ): Promise<{ rates: { action: string; windowSeconds: number }[]; resources: string[] }> {
    const [rates, quotas] = await Promise.all([
      this.policies.all(projectId, 'rate'),
      this.policies.all(projectId, 'quota'),
    ]);
    return {
      // Those of the declared policies too: their keys stand until the owner's are met everywhere.
      rates: [...this.declared.entries('rate'), ...rates].flatMap(([action, text]) =>
        readPolicy(text).buckets.map(({ windowSeconds }) => ({ action, windowSeconds })),
      ),
      resources: [...quotas.keys()],
    };
  }

  async #ask(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    { idempotencyKey, user }: ChargeOptions,
    op: string,
    peek: boolean,
  ): Promise<Verdict> {
    const summed = items.length === 1 ? undefined : sum(items);
    const asked = summed ? [...summed.values()] : items;
    // Rate limits alone need the smaller script.
    const answer =
      asked.every((item) => 'action' in item) && idempotencyKey === undefined
        ? await this.scripts.hit(projectId, asked, { user, peek, strict: true })
        : await this.scripts.charge(projectId, asked, this.keys.replay(projectId, op, idempotencyKey, [items, user]), {
            user,
            peek,
          });
    if ('unknown' in answer) {
      if (answer.unknown === 'policy') throw noPolicy(op);
      throw invalid(op, [{ field: 'kinds', message: 'must be kinds that the policy of the resource names' }]);
    }
    const { allowed, states } = answer;
    if (!summed || summed.size === items.length)
      return { allowed, items: items.map((item, i) => ({ item, state: states[i]! })) };
    const byField = new Map([...summed.keys()].map((field, i) => [field, states[i]!]));
    return { allowed, items: items.map((item) => ({ item, state: byField.get(fieldOf(item))! })) };
  }

  #verdict(projectId: ProjectId, verdict: Verdict, call?: { sent: number; user?: string | undefined }): Verdict {
    const { allowed, items } = verdict;
    if (!allowed) {
      this.metrics.refused(items.every(({ item }) => 'action' in item) ? 'rate' : 'quota');
      if (call) this.refusals.note(projectId, items, call.sent, call.user);
    } else {
      for (const { item, state } of items)
        if (wouldRefuse(state)) this.metrics.wouldRefuse('action' in item ? 'rate' : 'quota');
    }
    return verdict;
  }

  #passOpen(projectId: ProjectId, items: readonly (RateItem | QuotaItem)[], error: unknown): void {
    if (!isAppError(error, 'redis_unavailable', 'storage_full')) throw error;
    const known = this.memory.get(projectId, items.map(fieldOf));
    const open = items.every(
      (item, i) => (known[i]!.rules?.onFailure ?? ('action' in item ? 'open' : 'closed')) === 'open',
    );
    if (!open) throw error;
    this.metrics.degraded();
  }
}
