import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import type { Idempotency } from '../redis/idempotency.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { type LimitField, LimitsRegistry } from './limits.registry.js';
import type { Known } from './policy.memory.js';
import { PolicyMemory } from './policy.memory.js';
import { PolicyRunner } from './policy.runner.js';
import { type RateBucket, weighed } from './policy.js';
import { QuotaKeys } from './quota.keys.js';
import { bucketState, type QuotaItem, type RateItem, rateState, readRules, type RulesState } from './quota.state.js';

const lua = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);

export const hitRates = defineScript({
  op: 'quota.hit',
  file: lua('hit'),
  role: 'state',
  keys: ['settings', 'buckets...'],
  args: ['peek', 'checks', 'dry', 'rules...'],
});
export const chargeItems = defineScript({
  op: 'quota.charge',
  file: lua('charge'),
  role: 'state',
  keys: ['settings', 'replay', 'items...'],
  args: ['fingerprint', 'peek', 'checks', 'items...'],
});
export const readQuotas = defineScript({
  op: 'quota.read',
  file: lua('read'),
  role: 'state',
  keys: ['settings', 'items...'],
  args: ['checks', 'items...'],
});
export const putPolicy = defineScript({
  op: 'quota.put',
  file: lua('put'),
  role: 'state',
  keys: ['settings', 'bucket'],
  args: ['field', 'default', 'policy', 'most'],
});

/** How to ask: for whom, and whether only to look. */
export interface Asking {
  /** Whose buckets a policy per user takes from; without a user it takes from none. */
  readonly user?: string | undefined;
  readonly peek?: boolean;
}

/** Every item was charged, or none: then at least one rule has a `retryMs`. */
export interface Charged<State> {
  readonly allowed: boolean;
  readonly states: readonly State[];
}

/** Something that was asked for does not exist. */
export interface Unknown {
  readonly unknown: 'policy' | 'kind';
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
    private readonly policies: PolicyRunner,
    private readonly memory: PolicyMemory,
  ) {}

  /**
   * @param rules no two alike.
   * @returns a state without bucket for an action that has none for this caller, and one `undefined` for an action without
   * policy: it limits nothing, unless `strict`: then nothing is taken.
   */
  async hit(
    projectId: ProjectId,
    rules: readonly RateItem[],
    asking?: Asking & { strict?: false },
  ): Promise<Charged<RulesState | undefined>>;
  async hit(
    projectId: ProjectId,
    rules: readonly RateItem[],
    asking: Asking & { strict: true },
  ): Promise<Charged<RulesState> | Unknown>;
  async hit(
    projectId: ProjectId,
    rules: readonly RateItem[],
    { user, peek = false, strict = false }: Asking & { strict?: boolean } = {},
  ): Promise<Charged<RulesState | undefined> | Unknown> {
    const { known, reply } = await this.policies.run<[number, ...number[]]>(
      projectId,
      rules.map(fieldOf),
      (policies, { checks, policies: args }) => {
        const buckets: string[] = [];
        const figures: (string | number)[] = [...args];
        let dry = '';
        // Where a policy is missing, the script only compares.
        const asked = strict && policies.some((policy) => !policy.rules) ? [] : rules;
        asked.forEach(({ action, cost }, i) => {
          for (const bucket of applying(policies[i]!, user)) {
            if (bucket.dry) dry = `${dry.padEnd(buckets.length, '0')}1`;
            buckets.push(this.#bucketKey(projectId, action, bucket, user));
            figures.push(bucket.limit, bucket.windowSeconds, cost);
          }
        });
        return this.runner.run(hitRates, {
          keys: { settings: this.keys.settings(projectId), buckets },
          args: { peek: peek ? 1 : 0, checks, dry, rules: figures },
        });
      },
    );
    if (strict && known.some((policy) => !policy.rules)) return { unknown: 'policy' };
    let at = 1;
    const states = known.map((policy) => {
      if (!policy.rules) return undefined;
      const buckets = applying(policy, user).map((rule) => {
        const state = bucketState(rule, reply[at]!, reply[at + 1]!, reply[at + 2]!);
        at += 3;
        return state;
      });
      return rateState(buckets);
    });
    return { allowed: reply[0] === 1, states };
  }

  /**
   * @param items no two of the same name.
   * @returns `unknown` when an item has no policy, or its policy does not know a kind: then nothing was charged.
   */
  async charge(
    projectId: ProjectId,
    items: readonly (RateItem | QuotaItem)[],
    { key, fingerprint }: Idempotency,
    { user, peek = false }: Asking = {},
  ): Promise<Charged<RulesState> | Unknown> {
    const { known, reply } = await this.policies.run<[number, ...number[][]]>(
      projectId,
      items.map(fieldOf),
      (policies, checks) => {
        const keys: string[] = [];
        const args: (string | number)[] = [];
        // Where a policy is missing, the script only compares.
        const asked = lacking(items, policies) ? [] : items;
        asked.forEach((item, i) => {
          const { rules } = policies[i]!;
          if ('action' in item) {
            for (const bucket of applying(policies[i]!, user)) {
              keys.push(this.#bucketKey(projectId, item.action, bucket, user));
              args.push(`r${bucket.limit}/${bucket.windowSeconds}/${bucket.dry ? 1 : 0}`, item.cost, '');
            }
          } else {
            const kinds = item.kinds ?? {};
            keys.push(this.keys.resource(projectId, item.resource));
            args.push(rules!.text, item.amount + weighed(kinds, rules!.kinds), kindsText(kinds, rules!.kinds));
          }
        });
        return this.runner.run(chargeItems, {
          keys: { settings: this.keys.settings(projectId), replay: key, items: keys },
          args: {
            fingerprint: asked.length > 0 ? fingerprint : '',
            peek: peek ? 1 : 0,
            checks: checks.checks,
            items: [...checks.policies, ...args],
          },
        });
      },
    );
    const unknown = lacking(items, known);
    if (unknown) return { unknown };
    let at = 0;
    const states = items.map((item, i) => {
      if (!('action' in item)) return readRules(reply[(at += 1)] as number[], known[i]!.rules!.dry);
      const buckets = applying(known[i]!, user).map((rule) => {
        const [, , , remaining, resetMs, retryMs] = reply[(at += 1)] as [
          number,
          number,
          number,
          number,
          number,
          number,
        ];
        return bucketState(rule, remaining, resetMs, retryMs);
      });
      return rateState(buckets);
    });
    return { allowed: reply[0] === 1, states };
  }

  /** @returns `undefined` when one of the resources has no policy. */
  async read(projectId: ProjectId, resources: readonly string[]): Promise<RulesState[] | undefined> {
    const { known, reply } = await this.policies.run<[number, ...number[][]]>(
      projectId,
      resources.map((resource) => `quota:${resource}` as const),
      (policies, { checks, policies: args }) => {
        const asked = policies.every(({ rules }) => rules) ? resources : [];
        return this.runner.run(readQuotas, {
          keys: {
            settings: this.keys.settings(projectId),
            items: asked.map((resource) => this.keys.resource(projectId, resource)),
          },
          args: { checks, items: [...args, ...asked.flatMap((_, i) => [policies[i]!.rules!.text, 0])] },
        });
      },
    );
    if (known.some(({ rules }) => !rules)) return undefined;
    return known.map(({ rules }, i) => readRules(reply[i + 1] as number[], rules!.dry));
  }

  /** @returns whether the policy is set; not when the project already has `most` policies of its own. */
  async put(projectId: ProjectId, field: LimitField, policy: string, most: number): Promise<boolean> {
    const name = field.slice(field.indexOf(':') + 1);
    const bucket = field.startsWith('rate:')
      ? // The script puts the windows of the policies in its place.
        this.keys.rateBucket(projectId, name, 1)
      : this.keys.resource(projectId, name);
    const [set] = (await this.runner.run(putPolicy, {
      keys: { settings: this.keys.settings(projectId), bucket },
      args: { field, default: this.declared.text(field), policy, most },
    })) as [number];
    if (set === 1) this.memory.learn(projectId, field, policy, monotonicMs());
    return set === 1;
  }

  #bucketKey(projectId: ProjectId, action: string, { windowSeconds, perUser }: RateBucket, user?: string): string {
    return this.keys.rateBucket(projectId, action, windowSeconds, perUser ? user : undefined);
  }
}

/** `input=5 output=2`, as the scripts count kinds: those that the policy knows, so that there are few. */
export function kindsText(counts: Readonly<Record<string, number>>, weights: ReadonlyMap<string, number>): string {
  return Object.entries(counts)
    .flatMap(([kind, count]) => (count > 0 && weights.has(kind) ? [`${kind}=${count}`] : []))
    .join(' ');
}

/** The buckets of an action that a call of this user takes from. */
function applying({ rules }: Known, user: string | undefined): readonly RateBucket[] {
  if (!rules) return [];
  return user === undefined ? rules.shared : rules.buckets;
}

function lacking(items: readonly (RateItem | QuotaItem)[], known: readonly Known[]): 'policy' | 'kind' | undefined {
  if (known.some(({ rules }) => !rules)) return 'policy';
  const strange = items.some(
    (item, i) => 'kinds' in item && Object.keys(item.kinds ?? {}).some((kind) => !known[i]!.rules!.kinds.has(kind)),
  );
  return strange ? 'kind' : undefined;
}
