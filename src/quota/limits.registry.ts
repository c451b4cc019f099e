import { Injectable } from '@nestjs/common';
import { AppConfig } from '../config/app-config.js';
import type { QuotaPolicy, RatePolicy } from '../config/policies.dto.js';
import { quotaText, rateText } from './policy.js';

/** What a limit is called in the settings hash and in the scripts. */
export type LimitField = `rate:${string}` | `quota:${string}`;

/** No policy: an action without it is not limited by routes and unknown to callers, a resource without it does not exist. */
export const NONE = '-';

/**
 * The policies of the process: of the settings RATE_LIMITS and QUOTAS, and what modules declare. They hold in every project
 * whose owner has not set another one.
 */
@Injectable()
export class LimitsRegistry {
  readonly #texts = new Map<LimitField, string>();

  constructor(config: AppConfig) {
    for (const [action, policy] of config.RATE_LIMITS) this.#texts.set(`rate:${action}`, rateText(policy));
    for (const [resource, policy] of config.QUOTAS) this.#texts.set(`quota:${resource}`, quotaText(policy));
  }

  /** Declares a module's action, for `onModuleInit`. The setting RATE_LIMITS wins. */
  rateLimit(action: string, policy: RatePolicy): void {
    if (!this.#texts.has(`rate:${action}`)) this.#texts.set(`rate:${action}`, rateText(policy));
  }

  /** Declares a module's resource, for `onModuleInit`. The setting QUOTAS wins. */
  quota(resource: string, policy: QuotaPolicy): void {
    if (!this.#texts.has(`quota:${resource}`)) this.#texts.set(`quota:${resource}`, quotaText(policy));
  }

  /** The policy's text, or {@link NONE}. */
  text(field: LimitField): string {
    return this.#texts.get(field) ?? NONE;
  }

  /** Names that are declared, with the policy of each: `rate` or `quota`. */
  entries(kind: 'rate' | 'quota'): [name: string, text: string][] {
    return [...this.#texts].flatMap(([field, text]) =>
      field.startsWith(`${kind}:`) ? [[field.slice(kind.length + 1), text] as [string, string]] : [],
    );
  }
}
