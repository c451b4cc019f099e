/** `relaxed`: a retry that waits lets younger jobs pass. `strict`: one lease at a time, and the head blocks until it is over. */
export type QueueOrder = 'relaxed' | 'strict';

/** Where a job is. `taken`: another program popped it from the list. */
export type JobState = 'waiting' | 'delayed' | 'leased' | 'done' | 'dead' | 'cancelled' | 'taken';

/** A job that the caller holds until `expiresAt`. */
export interface LeasedJob {
  readonly jobId: string;
  /** Proves the lease; opaque. */
  readonly leaseToken: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** The task's JSON, parsed. Fields that others added are in it. */
  readonly task: Readonly<Record<string, unknown>>;
  /** The operation that the job reports as. */
  readonly operationId?: string;
  /** Unix ms, Redis time. */
  readonly expiresAt: number;
}

/** A job that its worker is done with. */
export interface DoneJob {
  readonly jobId: string;
  readonly leaseToken: string;
  /** Any JSON, at most 256 KiB; kept with the job. */
  readonly result?: unknown;
}

/** Whether an ack had its lease, now or when it came first. */
export type AckOutcome = 'done' | 'stale';

/** What a lease call got. `nonce` tells this delivery of a named request from its repetitions. */
export interface Lease {
  readonly jobs: readonly LeasedJob[];
  readonly requestId?: string;
  readonly nonce: number;
  /** The project's share among those that wait for the same consumers: the owner's setting, else 1. */
  readonly weight: number;
  /** In how many milliseconds something becomes due by itself. */
  readonly dueInMs?: number;
}

/** A job to be added. */
export interface NewJob {
  /** The task, validated by its queue; `project_id` is put first by the service. */
  readonly task: object;
  readonly delaySeconds?: number;
  /** While an undone job holds this key, adding another answers that job. */
  readonly dedupeKey?: string;
  /** 1–100; an expired lease counts. Default 10. */
  readonly maxAttempts?: number;
  readonly operationId?: string;
}

/** A job as others see it. */
export interface JobView {
  readonly jobId: string;
  readonly state: JobState;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly createdAt: number;
  readonly lastError?: string;
  readonly result?: unknown;
  readonly operationId?: string;
  /** Place in the line, from 1; only told within the first 1,000. */
  readonly position?: number;
  readonly retryAt?: number;
  /** Why a job that waits may not be leased now; missing when it is only a matter of its turn. */
  readonly blockedBy?: 'paused' | 'dead_letters_full' | 'delay' | 'in_flight';
  /** Of the project and queue: jobs in flight, and how many there may be. */
  readonly inFlight?: { readonly now: number; readonly max: number };
  /** Age of the oldest job that waits. */
  readonly oldestAgeSeconds?: number | null;
  readonly leaseExpiresAt?: number;
  readonly finishedAt?: number;
}

/** How many jobs of a queue are where. */
export interface QueueCounts {
  readonly queue: string;
  readonly waiting: number;
  readonly leased: number;
  readonly delayed: number;
  readonly dead: number;
  /** Bytes of all undone jobs that came through the API or were leased. */
  readonly bytes: number;
  readonly paused: boolean;
  /** The owner's setting, or what the queue was declared with. */
  readonly order: QueueOrder;
  /** The project's share of the consumers' time; 1 unless the owner set it. */
  readonly weight: number;
  readonly pausedReason?: 'owner' | 'dead_letters_full';
  /** Age of the oldest job that waits; tasks of others count from their lease on. */
  readonly oldestAgeSeconds: number | null;
}

/** A job that used up its attempts. */
export interface DeadLetter {
  readonly jobId: string;
  readonly attempts: number;
  readonly error: string;
  readonly diedAt: number;
  /** The task as it stands in Redis; text when it is no JSON. */
  readonly task: unknown;
}
