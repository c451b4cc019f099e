import { Injectable } from '@nestjs/common';
import { AppConfig } from '../config/app-config.js';
import type { BucketPolicy, QuotaPolicy } from '../config/policies.dto.js';
import { bucketText, quotaText } from './policy.js';

/** What a limit is called in the settings hash and in the scripts. */
export type LimitField = `rate:${string}` | `quota:${string}`;

/** No policy: an action without it is not limited by routes and unknown to callers, a resource without it does not exist. */
export const NONE = '-';

// The bucket key carries the window of the default policy; without one any number does, since the script puts the owner's.
const ANY_WINDOW = 60;

/**
 * The policies of the process: of the settings RATE_LIMITS and QUOTAS, and what modules declare. They hold in every project
 * whose owner has not set another one.
 */
@Injectable()
export class LimitsRegistry {
  readonly #texts = new Map<LimitField, string>();
  readonly #rates = new Map<string, BucketPolicy>();

  constructor(config: AppConfig) {
    for (const [action, policy] of config.RATE_LIMITS) this.#setRate(action, policy);
    for (const [resource, policy] of config.QUOTAS) this.#texts.set(`quota:${resource}`, quotaText(policy));
  }

  /** Declares a module's action, for `onModuleInit`. The setting RATE_LIMITS wins. */
  rateLimit(action: string, policy: BucketPolicy): void {
    if (!this.#texts.has(`rate:${action}`)) this.#setRate(action, policy);
  }

  /** Declares a module's resource, for `onModuleInit`. The setting QUOTAS wins. */
  quota(resource: string, policy: QuotaPolicy): void {
    if (!this.#texts.has(`quota:${resource}`)) this.#texts.set(`quota:${resource}`, quotaText(policy));
  }

  /** The policy's text, or {@link NONE}. */
  text(field: LimitField): string {
    return this.#texts.get(field) ?? NONE;
  }

  /** The declared policy of an action. */
  rate(action: string): BucketPolicy | undefined {
    return this.#rates.get(action);
  }

  /** The window that stands in the key of an action's bucket. */
  windowSeconds(action: string): number {
    return this.#rates.get(action)?.window_seconds ?? ANY_WINDOW;
  }

  /** Names that are declared, with the policy of each: `rate` or `quota`. */
  entries(kind: 'rate' | 'quota'): [name: string, text: string][] {
    return [...this.#texts].flatMap(([field, text]) =>
      field.startsWith(`${kind}:`) ? [[field.slice(kind.length + 1), text] as [string, string]] : [],
    );
  }

  #setRate(action: string, policy: BucketPolicy): void {
    this.#rates.set(action, policy);
    this.#texts.set(`rate:${action}`, bucketText(policy));
  }
}
