/** How many jobs of a queue are where. */
export class QueueDto {
  /** Name of the queue. */
  queue!: string;
  /** Jobs that wait, retries included. */
  waiting!: number;
  /** Jobs that somebody works on. */
  leased!: number;
  /** Jobs that wait for their time. */
  delayed!: number;
  /** Dead letters. */
  dead!: number;
  /** Bytes of all undone tasks that the API knows. */
  bytes!: number;
  /** Whether nothing is leased at present. */
  paused!: boolean;
  /** `owner`, or `dead_letters_full`: look after the dead letters first. */
  paused_reason?: string;
  /** Age of the oldest job that waits; null when none does. */
  oldest_age_seconds!: number | null;
}

/** Queues by name. */
export class QueuesDto {
  items!: QueueDto[];
  /** Where the next page begins, when there is one. */
  next_cursor?: string;
}

/** A job. */
export class JobDto {
  /** The job. */
  job_id!: string;
  /** `waiting`, `delayed`, `leased`, `done`, `dead`, `cancelled`, or `taken`: popped by another program. */
  state!: string;
  /** Leases so far. */
  attempts!: number;
  /** Leases at most. */
  max_attempts!: number;
  /** When it was added. */
  created_at!: string;
  /** When it was over; known for an hour. */
  finished_at?: string;
  /** What went wrong at the last attempt. */
  last_error?: string;
  /** What the worker answered. */
  result?: unknown;
  /** The operation that it reports as. */
  operation_id?: string;
  /** Place in the line, from 1; told within the first 1,000. */
  position?: number;
  /** When a delayed job may be leased. */
  retry_at?: string;
  /** When the lease of a leased job ends. */
  lease_expires_at?: string;
}

/** A job that used up its attempts. */
export class DeadLetterDto {
  /** The job. */
  job_id!: string;
  /** Leases it had. */
  attempts!: number;
  /** The last error. */
  error!: string;
  /** When it died. */
  died_at!: string;
  /** Its task; text when it is no JSON. */
  task!: unknown;
}

/** A page of dead letters, oldest first. */
export class DeadLettersDto {
  items!: DeadLetterDto[];
  /** Ask for the next page with it; missing on the last. */
  next_cursor?: string;
}

/** How many dead letters were put back. */
export class RedrivenDto {
  redriven!: number;
}
