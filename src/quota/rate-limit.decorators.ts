import { SetMetadata } from '@nestjs/common';

export const RATE_LIMITS = 'quota:rate-limits';
export const RATE_LIMIT_EXEMPT = 'quota:rate-limit-exempt';

/** A limit that a route takes from. */
export interface RouteLimit {
  readonly action: string;
  readonly cost: number;
}

/**
 * Puts a route, or all routes of a controller, under a rate limit of the project beside `api`; both are decided together, and
 * headers and 429 follow by themselves. An action that has no policy limits nothing: declare one with
 * `LimitsRegistry.rateLimit()`, in RATE_LIMITS, or let the owner put it.
 */
export const RateLimit = (action: string, { cost = 1 }: { cost?: number } = {}): MethodDecorator & ClassDecorator =>
  SetMetadata(RATE_LIMITS, { action, cost } satisfies RouteLimit);

/** Takes a route out of the `api` limit: streams, and what gives work or money back. */
export const RateLimitExempt = (): MethodDecorator & ClassDecorator => SetMetadata(RATE_LIMIT_EXEMPT, true);
