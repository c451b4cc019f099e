import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { randomId } from '../common/tokens.js';
import type { ExpiryPolicy } from './policy.js';
import { noHold, noPolicy, refusal } from './quota.errors.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaMetrics } from './quota.metrics.js';
import { QuotaScripts } from './quota.scripts.js';
import type { ChargeOptions } from './quota.service.js';

export interface ReserveOptions extends ChargeOptions {
  /** Seconds until the hold expires unless its use is reported (1–86,400). Default 300. */
  readonly ttlSeconds?: number;
  /** Default `charge_reported`. */
  readonly onExpiry?: ExpiryPolicy;
}

/** An amount that is held for its owner. */
export interface Reservation {
  readonly id: string;
  readonly amount: number;
  /** Unix ms, Redis time. */
  readonly expiresAt: number;
}

/**
 * Reservations: hold an estimate, report the use while it grows, and settle the true amount; in the windows in which the
 * reservation was made. Each step may be repeated, and come in any order: a commit overrules a release, both the expiry.
 */
@Injectable()
export class ReservationService {
  constructor(
    private readonly scripts: QuotaScripts,
    private readonly keys: QuotaKeys,
    private readonly metrics: QuotaMetrics,
  ) {}

  /**
   * Holds an amount in all windows and the bucket of a resource.
   * @throws AppError `quota_exceeded`, `not_found` without policy, `conflict` for an Idempotency-Key that was used with
   * another body, `storage_full`, `redis_unavailable`.
   */
  async reserve(
    projectId: ProjectId,
    resource: string,
    amount: number,
    { ttlSeconds = 300, onExpiry = 'charge_reported', idempotencyKey }: ReserveOptions = {},
  ): Promise<Reservation> {
    const op = 'quota.reserve';
    const hold = { id: randomId(), amount, ttlMs: ttlSeconds * 1000, onExpiry };
    const body = { resource, amount, ttlSeconds, onExpiry };
    const result = await this.scripts.reserve(
      projectId,
      resource,
      hold,
      this.keys.replay(projectId, op, idempotencyKey, body),
    );
    if (!result) throw noPolicy(op);
    if ('refused' in result) {
      this.metrics.refused('quota');
      throw refusal(op, [{ item: { resource, amount }, state: result.refused }]);
    }
    return result;
  }

  /**
   * Reports the use so far, cumulative, and lets the hold live for its TTL again. Await it, and stop when told to: then
   * nobody overshoots by more than what it used between two calls.
   * @returns whether to go on, and how much may still be used: `undefined` when no rule limits the resource.
   * @throws AppError `not_found`
   */
  async extend(
    projectId: ProjectId,
    resource: string,
    id: string,
    used: number,
  ): Promise<{ goOn: boolean; remaining: number | undefined }> {
    const result = await this.scripts.extend(projectId, resource, id, used);
    if (!result) throw noHold('quota.extend');
    return { goOn: result.goOn, remaining: result.remaining < 0 ? undefined : result.remaining };
  }

  /**
   * Charges the true amount instead of the hold, also after it expired or was released, for a day.
   * @returns what is charged, and how much of it the hold did not cover.
   * @throws AppError `not_found`; `conflict` when another amount was committed before.
   */
  async commit(
    projectId: ProjectId,
    resource: string,
    id: string,
    amount: number,
  ): Promise<{ charged: number; overrun: number }> {
    const result = await this.scripts.settle(projectId, resource, id, 'committed', amount);
    if (!result) throw noHold('quota.commit');
    if (result === 'differs')
      throw new AppError('conflict', 'quota.commit', 'The reservation was committed before, with another amount.');
    return result;
  }

  /** Gives the hold back, also after it expired, for a day; without effect after a commit. @throws AppError `not_found` */
  async release(projectId: ProjectId, resource: string, id: string): Promise<void> {
    if (!(await this.scripts.settle(projectId, resource, id, 'released', 0))) throw noHold('quota.release');
  }
}
