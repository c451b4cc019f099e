import { Injectable } from '@nestjs/common';
import { AppConfig } from '../config/app-config.js';
import type { BucketPolicy, QuotaPolicy } from '../config/policies.dto.js';
import { bucketText, parsePolicy, quotaText } from './policy.js';

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
export class DeclaredLimits {
  readonly #texts = new Map<LimitField, string>();
  readonly #windows = new Map<string, number>();

  constructor(config: AppConfig) {
    for (const [action, policy] of config.RATE_LIMITS) this.#set(`rate:${action}`, bucketText(policy));
    for (const [resource, policy] of config.QUOTAS) this.#set(`quota:${resource}`, quotaText(policy));
  }

  /** Declares a module's action, for `onModuleInit`. The setting RATE_LIMITS wins. */
  rateLimit(action: string, policy: BucketPolicy): void {
    if (!this.#texts.has(`rate:${action}`)) this.#set(`rate:${action}`, bucketText(policy));
  }

  /** Declares a module's resource, for `onModuleInit`. The setting QUOTAS wins. */
  quota(resource: string, policy: QuotaPolicy): void {
    if (!this.#texts.has(`quota:${resource}`)) this.#set(`quota:${resource}`, quotaText(policy));
  }

  /** The policy's text, or {@link NONE}. */
  text(field: LimitField): string {
    return this.#texts.get(field) ?? NONE;
  }

  /** The window that stands in the key of an action's bucket. */
  windowSeconds(action: string): number {
    return this.#windows.get(action) ?? ANY_WINDOW;
  }

  /** Names that are declared, with the policy of each: `rate` or `quota`. */
  entries(kind: 'rate' | 'quota'): [name: string, text: string][] {
    return [...this.#texts].flatMap(([field, text]) =>
      field.startsWith(`${kind}:`) ? [[field.slice(kind.length + 1), text] as [string, string]] : [],
    );
  }

  #set(field: LimitField, text: string): void {
    this.#texts.set(field, text);
    const { bucket } = parsePolicy(text);
    if (field.startsWith('rate:') && bucket) this.#windows.set(field.slice(5), bucket.window_seconds);
  }
}
