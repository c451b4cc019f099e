import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import type { Idempotency } from '../redis/idempotency.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { LimitsRegistry, type LimitField } from './limits.registry.js';
import { QuotaKeys } from './quota.keys.js';
import {
  BUCKET_LENGTH,
  type BucketState,
  type QuotaItem,
  type RateItem,
  readBucket,
  readRules,
  type RulesState,
} from './quota.state.js';

const lua = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);

export const hitRates = defineScript({
  op: 'quota.hit',
  file: lua('hit'),
  role: 'state',
  keys: ['settings', 'buckets...'],
  args: ['rules...'],
});
export const chargeItems = defineScript({
  op: 'quota.charge',
  file: lua('charge'),
  role: 'state',
  keys: ['settings', 'replay', 'items...'],
  args: ['fingerprint', 'items...'],
});
export const readQuotas = defineScript({
  op: 'quota.read',
  file: lua('read'),
  role: 'state',
  keys: ['settings', 'items...'],
  args: ['items...'],
});
export const reserveQuota = defineScript({
  op: 'quota.reserve',
  file: lua('reserve'),
  role: 'state',
  keys: ['settings', 'replay', 'ledger', 'hold', 'due'],
  args: ['fingerprint', 'field', 'default', 'id', 'amount', 'ttl_ms', 'on_expiry'],
});
export const extendHold = defineScript({
  op: 'quota.extend',
  file: lua('extend'),
  role: 'state',
  keys: ['settings', 'ledger', 'hold', 'due'],
  args: ['field', 'default', 'id', 'used'],
});
export const settleHold = defineScript({
  op: 'quota.settle',
  file: lua('settle'),
  role: 'state',
  keys: ['settings', 'ledger', 'hold', 'due'],
  args: ['field', 'default', 'id', 'state', 'amount'],
});
export const putPolicy = defineScript({
  op: 'quota.put',
  file: lua('put'),
  role: 'state',
  keys: ['settings', 'bucket'],
  args: ['field', 'default', 'policy', 'most'],
});

/** Every item was charged, or none: then at least one rule has a `retryMs`. */
export interface Charged<State> {
  readonly allowed: boolean;
  readonly states: readonly State[];
}

export interface NewHold {
  readonly id: string;
  readonly amount: number;
  readonly ttlMs: number;
  readonly onExpiry: string;
}

/** `field` of the settings hash, for what a caller asks for. */
export function fieldOf(item: RateItem | QuotaItem): LimitField {
  return 'action' in item ? `rate:${item.action}` : `quota:${item.resource}`;
}

/** The scripts of rate limits and quotas, typed. */
@Injectable()
export class QuotaScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: QuotaKeys,
    private readonly declared: LimitsRegistry,
  ) {}

  /** The state is `undefined` for an action that has no policy: it limits nothing. */
  async hit(projectId: ProjectId, rules: readonly RateItem[]): Promise<Charged<BucketState | undefined>> {
    const buckets: string[] = [];
    const args: (string | number)[] = [];
    for (const { action, cost } of rules) {
      buckets.push(this.#rateBucket(projectId, action));
      const policy = this.declared.rate(action);
      args.push(`rate:${action}`, policy?.limit ?? 0, policy?.window_seconds ?? 0, cost);
    }
    const reply = (await this.runner.run(hitRates, {
      keys: { settings: this.keys.settings(projectId), buckets },
      args: { rules: args },
    })) as number[];
    return {
      allowed: reply[0] === 1,
      states: rules.map((_, i) =>
        reply[BUCKET_LENGTH * i + 1] === 0 ? undefined : readBucket(reply, BUCKET_LENGTH * i + 1),
      ),
    };
  }

  /** @param items no two of the same name. @returns `undefined` when one of them has no policy. */
  async charge(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    { key, fingerprint }: Idempotency,
  ): Promise<Charged<RulesState> | undefined> {
    const [code, ...reports] = (await this.#settled(() =>
      this.runner.run(chargeItems, {
        keys: {
          settings: this.keys.settings(projectId),
          replay: key,
          items: items.map((item) =>
            'action' in item ? this.#rateBucket(projectId, item.action) : this.keys.resource(projectId, item.resource),
          ),
        },
        args: {
          fingerprint,
          items: items.flatMap((item) => [
            fieldOf(item),
            this.declared.text(fieldOf(item)),
            'action' in item ? item.cost : item.amount,
          ]),
        },
      }),
    )) as [number, ...number[][]];
    return code === 3 ? undefined : { allowed: code === 1, states: reports.map(readRules) };
  }

  /** @returns `undefined` when one of the resources has no policy. */
  async read(projectId: ProjectId, resources: readonly string[]): Promise<RulesState[] | undefined> {
    const [code, ...reports] = (await this.#settled(() =>
      this.runner.run(readQuotas, {
        keys: {
          settings: this.keys.settings(projectId),
          items: resources.map((resource) => this.keys.resource(projectId, resource)),
        },
        args: {
          items: resources.flatMap((resource) => [`quota:${resource}`, this.declared.text(`quota:${resource}`)]),
        },
      }),
    )) as [number, ...number[][]];
    return code === 3 ? undefined : reports.map(readRules);
  }

  /** @returns the hold, the rules that refuse it, or `undefined` when the resource has no policy. */
  async reserve(
    projectId: ProjectId,
    resource: string,
    hold: NewHold,
    { key, fingerprint }: Idempotency,
  ): Promise<{ id: string; amount: number; expiresAt: number } | { refused: RulesState } | undefined> {
    const reply = (await this.#settled(() =>
      this.runner.run(reserveQuota, {
        keys: { ...this.#holdKeys(projectId, resource, hold.id), replay: key },
        args: {
          ...this.#policy(resource),
          fingerprint,
          id: hold.id,
          amount: hold.amount,
          ttl_ms: hold.ttlMs,
          on_expiry: hold.onExpiry,
        },
      }),
    )) as [0, number[]] | [1, string, number, number] | [3];
    if (reply[0] === 3) return undefined;
    return reply[0] === 0 ? { refused: readRules(reply[1]) } : { id: reply[1], amount: reply[2], expiresAt: reply[3] };
  }

  /** @returns whether to go on and what may still be used (-1: any amount), or `undefined` when there is no such hold. */
  async extend(
    projectId: ProjectId,
    resource: string,
    id: string,
    used: number,
  ): Promise<{ goOn: boolean; remaining: number } | undefined> {
    const [code, remaining] = (await this.#settled(() =>
      this.runner.run(extendHold, {
        keys: this.#holdKeys(projectId, resource, id),
        args: { ...this.#policy(resource), id, used },
      }),
    )) as [number, number];
    return code === 3 ? undefined : { goOn: code === 1, remaining };
  }

  /** @returns what was charged, `'differs'` when another amount was committed before, or `undefined` when there is no such hold. */
  async settle(
    projectId: ProjectId,
    resource: string,
    id: string,
    state: 'committed' | 'released',
    amount: number,
  ): Promise<{ charged: number; overrun: number } | 'differs' | undefined> {
    const [code, charged, overrun] = (await this.#settled(() =>
      this.runner.run(settleHold, {
        keys: this.#holdKeys(projectId, resource, id),
        args: { ...this.#policy(resource), id, state, amount },
      }),
    )) as [number, number, number];
    if (code === 3) return undefined;
    return code === 0 ? 'differs' : { charged, overrun };
  }

  /** @returns whether the policy is set; not when the project already has `most` policies of its own. */
  async put(projectId: ProjectId, field: LimitField, policy: string, most: number): Promise<boolean> {
    const name = field.slice(field.indexOf(':') + 1);
    const bucket = field.startsWith('rate:') ? this.#rateBucket(projectId, name) : this.keys.resource(projectId, name);
    const [set] = (await this.runner.run(putPolicy, {
      keys: { settings: this.keys.settings(projectId), bucket },
      args: { field, default: this.declared.text(field), policy, most },
    })) as [number];
    return set === 1;
  }

  // 2 means that more holds were due than one script may settle: the answer is known once none is.
  async #settled(run: () => Promise<unknown>): Promise<unknown> {
    for (;;) {
      const reply = await run();
      if ((reply as [number])[0] !== 2) return reply;
    }
  }

  #rateBucket(projectId: ProjectId, action: string): string {
    return this.keys.rateBucket(projectId, action, this.declared.windowSeconds(action));
  }

  #policy(resource: string): { field: string; default: string } {
    return { field: `quota:${resource}`, default: this.declared.text(`quota:${resource}`) };
  }

  #holdKeys(projectId: ProjectId, resource: string, id: string) {
    return {
      settings: this.keys.settings(projectId),
      ledger: this.keys.resource(projectId, resource),
      hold: this.keys.hold(projectId, resource, id),
      due: this.keys.due(projectId, resource),
    };
  }
}
