import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import type { Idempotency } from '../redis/idempotency.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import type { Known } from './policy.memory.js';
import { type Checks, PolicyRunner } from './policy.runner.js';
import { weighed } from './policy.js';
import { QuotaKeys } from './quota.keys.js';
import { kindsText, readQuotas } from './quota.scripts.js';
import { readRules, type RulesState } from './quota.state.js';

const lua = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);

export const reserveQuota = defineScript({
  op: 'quota.reserve',
  file: lua('reserve'),
  role: 'state',
  keys: ['settings', 'replay', 'ledger', 'hold', 'due'],
  args: ['fingerprint', 'id', 'amount', 'ttl_ms', 'on_expiry', 'rules', 'checks', 'policies...'],
});
export const extendHold = defineScript({
  op: 'quota.extend',
  file: lua('extend'),
  role: 'state',
  keys: ['settings', 'ledger', 'hold', 'due'],
  args: ['id', 'used', 'rules', 'checks', 'policies...'],
});
export const settleHold = defineScript({
  op: 'quota.settle',
  file: lua('settle'),
  role: 'state',
  keys: ['settings', 'ledger', 'hold', 'due', 'replay'],
  args: ['fingerprint', 'id', 'state', 'amount', 'kinds', 'rules', 'checks', 'policies...'],
});

/** A resource that has lost its policy still settles its holds. */
const NO_RULES = '//////0';

export interface NewHold {
  readonly id: string;
  readonly amount: number;
  readonly ttlMs: number;
  readonly onExpiry: string;
}

/** How much was used, and of which kinds: `amount` beside the weighted sum of `kinds`. */
export interface Use {
  readonly amount: number;
  readonly kinds?: Readonly<Record<string, number>> | undefined;
}

/** The scripts of reservations, typed. */
@Injectable()
export class ReservationScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: QuotaKeys,
    private readonly policies: PolicyRunner,
  ) {}

  /** @returns the hold, the rules that refuse it, or `undefined` when the resource has no policy. */
  async reserve(
    projectId: ProjectId,
    resource: string,
    hold: NewHold,
    { key, fingerprint }: Idempotency,
  ): Promise<{ id: string; amount: number; expiresAt: number } | { refused: RulesState } | undefined> {
    type Reply = [0, number[]] | [1, string, number, number];
    const { known, reply } = await this.#run<Reply>(projectId, resource, (policy, checks) => {
      const keys = this.#keys(projectId, resource, hold.id);
      if (!policy.rules)
        return this.runner.run(readQuotas, {
          keys: { settings: keys.settings, items: [] },
          args: { checks: checks.checks, items: checks.policies },
        });
      return this.runner.run(reserveQuota, {
        keys: { ...keys, replay: key },
        args: {
          fingerprint,
          id: hold.id,
          amount: hold.amount,
          ttl_ms: hold.ttlMs,
          on_expiry: hold.onExpiry,
          rules: policy.rules.text,
          ...checks,
        },
      });
    });
    if (!known.rules) return undefined;
    return reply[0] === 0
      ? { refused: readRules(reply[1], known.rules.dry) }
      : { id: reply[1], amount: reply[2], expiresAt: reply[3] };
  }

  /** @returns whether to go on and what may still be used (-1: any amount), or `undefined` when there is no such hold. */
  async extend(
    projectId: ProjectId,
    resource: string,
    id: string,
    use: Use,
  ): Promise<{ goOn: boolean; remaining: number } | undefined> {
    const { reply } = await this.#run<[number, number]>(projectId, resource, ({ rules }, checks) =>
      this.runner.run(extendHold, {
        keys: this.#keys(projectId, resource, id),
        args: { id, used: total(use, rules), rules: rules?.text ?? NO_RULES, ...checks },
      }),
    );
    return reply[0] === 3 ? undefined : { goOn: reply[0] === 1, remaining: reply[1] };
  }

  /** @returns what was charged, `'differs'` when another amount was committed before, or `undefined` when there is no such hold. */
  async settle(
    projectId: ProjectId,
    resource: string,
    id: string,
    state: 'committed' | 'released',
    use: Use,
    { key, fingerprint }: Idempotency,
  ): Promise<{ charged: number; overrun: number } | 'differs' | undefined> {
    const { reply } = await this.#run<[number, number, number]>(projectId, resource, ({ rules }, checks) =>
      this.runner.run(settleHold, {
        keys: { ...this.#keys(projectId, resource, id), replay: key },
        args: {
          fingerprint,
          id,
          state,
          amount: total(use, rules),
          kinds: kindsText(use.kinds ?? {}, rules?.kinds ?? new Map()),
          rules: rules?.text ?? NO_RULES,
          ...checks,
        },
      }),
    );
    const [code, charged, overrun] = reply;
    if (code === 3) return undefined;
    return code === 0 ? 'differs' : { charged, overrun };
  }

  async #run<Reply extends readonly [number, ...unknown[]]>(
    projectId: ProjectId,
    resource: string,
    call: (known: Known, checks: Checks) => Promise<unknown>,
  ): Promise<{ known: Known; reply: Reply }> {
    const { known, reply } = await this.policies.run<Reply>(projectId, [`quota:${resource}`], ([policy], checks) =>
      call(policy!, checks),
    );
    return { known: known[0]!, reply };
  }

  #keys(projectId: ProjectId, resource: string, id: string) {
    return {
      settings: this.keys.settings(projectId),
      ledger: this.keys.resource(projectId, resource),
      hold: this.keys.hold(projectId, resource, id),
      due: this.keys.due(projectId, resource),
    };
  }
}

// A kind that the policy does not know weighs 1: what was used is charged, whatever it is called.
function total({ amount, kinds }: Use, rules: Known['rules']): number {
  return amount + weighed(kinds ?? {}, rules?.kinds ?? new Map());
}
