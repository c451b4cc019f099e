import type { ProjectId } from '../../common/project-id.js';

/** A lease that is to be kept: what crosses to the thread. */
export interface HeldLease {
  /** Of this process; a job that is leased again later is another one. */
  readonly id: number;
  readonly projectId: ProjectId;
  readonly queue: string;
  readonly jobId: string;
  readonly leaseToken: string;
  /** Unix ms, Redis time. */
  readonly expiresAt: number;
  readonly leaseMs: number;
  /** How much longer it may be kept. */
  readonly maxHoldMs: number;
}

/** Why a lease is not kept any longer. `stale`: it is somebody else's; `unreachable`: Redis did not answer in time. */
export type Loss = 'cancelled' | 'stale' | 'unreachable' | 'too_long';

/** What the process tells its thread. */
export type Order = { readonly hold: HeldLease } | { readonly drop: number } | 'stop';

/** What the thread tells its process. */
export type Report = 'ready' | { readonly lost: number; readonly why: Loss };
