import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { randomId } from '../common/tokens.js';
import { Hold, type Held } from './hold.js';
import type { ExpiryPolicy } from './policy.js';
import { noHold, noPolicy, refusal } from './quota.errors.js';
import { QuotaKeys } from './quota.keys.js';
import { QuotaMetrics } from './quota.metrics.js';
import type { ChargeOptions } from './quota.service.js';
import type { ItemState } from './quota.state.js';
import { RefusalMemory } from './refusal.memory.js';
import { ReservationScripts, type Use } from './reservation.scripts.js';

export interface ReserveOptions extends Pick<ChargeOptions, 'idempotencyKey'> {
  /** Seconds until the hold expires unless its use is reported (1–86,400). Default 300. */
  readonly ttlSeconds?: number;
  /** Default `charge_reported`. */
  readonly onExpiry?: ExpiryPolicy;
}

export interface HoldOptions extends ReserveOptions {
  /** Used from the start: the input, which is to be charged also when the answer is aborted. Default 0. */
  readonly input?: number;
  /** Reports the use each time it has grown by this much: the bound of the overshoot. Default 100. */
  readonly every?: number;
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
    private readonly scripts: ReservationScripts,
    private readonly keys: QuotaKeys,
    private readonly metrics: QuotaMetrics,
    private readonly refusals: RefusalMemory,
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
    if (idempotencyKey === undefined) {
      const known = this.refusals.find(projectId, { resource, amount });
      if (known?.refuses) throw this.#refused(op, known);
    }
    const sent = monotonicMs();
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
      const refused = { item: { resource, amount }, state: result.refused };
      this.refusals.note(projectId, [refused], sent);
      throw this.#refused(op, refused);
    }
    return result;
  }

  /**
   * Reports the use so far, cumulative, and lets the hold live for its TTL again. Await it, and stop when told to: then
   * nobody overshoots by more than what it used between two calls.
   * @param used in all, or by kinds.
   * @returns whether to go on, and how much may still be used: `undefined` when no rule limits the resource.
   * @throws AppError `not_found`
   */
  async extend(
    projectId: ProjectId,
    resource: string,
    id: string,
    used: number | Use,
  ): Promise<{ goOn: boolean; remaining: number | undefined }> {
    const result = await this.scripts.extend(projectId, resource, id, useOf(used));
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
    amount: number | Use,
    { idempotencyKey }: Pick<ChargeOptions, 'idempotencyKey'> = {},
  ): Promise<{ charged: number; overrun: number }> {
    const op = 'quota.commit';
    const use = useOf(amount);
    const replay = this.keys.replay(projectId, op, idempotencyKey, { resource, id, ...use });
    const result = await this.scripts.settle(projectId, resource, id, 'committed', use, replay);
    this.refusals.forget(projectId);
    if (!result) throw noHold(op);
    if (result === 'differs')
      throw new AppError('conflict', op, 'The reservation was committed before, with another amount.');
    return result;
  }

  /** Gives the hold back, also after it expired, for a day; without effect after a commit. @throws AppError `not_found` */
  async release(projectId: ProjectId, resource: string, id: string): Promise<void> {
    const none = this.keys.replay(projectId, 'quota.release', undefined, undefined);
    const released = await this.scripts.settle(projectId, resource, id, 'released', { amount: 0 }, none);
    this.refusals.forget(projectId);
    if (!released) throw noHold('quota.release');
  }

  /**
   * Reserves, and gives back a hold that settles itself: `await using hold = await reservations.hold(…)`.
   * @throws AppError as {@link reserve}.
   */
  async hold(
    projectId: ProjectId,
    resource: string,
    amount: number,
    { input = 0, every = 100, ...options }: HoldOptions = {},
  ): Promise<Hold> {
    const { id } = await this.reserve(projectId, resource, amount, options);
    const hold: Held = {
      extend: (used) => this.extend(projectId, resource, id, used),
      commit: (used) => this.commit(projectId, resource, id, used),
      release: () => this.release(projectId, resource, id),
    };
    return new Hold(id, hold, input, every);
  }

  #refused(op: string, state: ItemState): AppError {
    this.metrics.refused('quota');
    return refusal(op, [state]);
  }
}

function useOf(used: number | Use): Use {
  return typeof used === 'number' ? { amount: used } : used;
}
