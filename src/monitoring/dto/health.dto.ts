import { ApiProperty } from '@nestjs/swagger';
import type { Health } from '../readiness.js';

const HEALTH: readonly Health[] = ['ok', 'degraded', 'down'];

/** The process runs. */
export class LivenessDto {
  /** Always `ok`: a process that cannot say so does not answer. */
  @ApiProperty({ enum: ['ok'] })
  status!: 'ok';
}

/** How a server keeps its data. */
export class PersistenceDto {
  /** Whether each write goes to an append-only file. */
  aof!: boolean;
  /** Whether the last append, rewrite and snapshot went well. */
  healthy!: boolean;
}

/** One connection of the process to Redis. */
export class RedisRoleHealthDto {
  @ApiProperty({ enum: HEALTH })
  status!: Health;
  /** Why it is not `ok`, for people. */
  reason?: string;
  /** Version of the server; missing when it does not answer. */
  version?: string;
  /** `maxmemory-policy` of the server; missing when it does not answer. */
  eviction_policy?: string;
  /** Missing when the server does not answer. */
  persistence?: PersistenceDto;
}

/** The connections by role. Where one server does everything, `cache` says the same as `state`. */
export class RedisHealthDto {
  /** Queues, quotas, progress, sessions and locks: without it nothing works. */
  state!: RedisRoleHealthDto;
  /** Documents and cache entries. */
  cache!: RedisRoleHealthDto;
  /** Live progress and wake-ups; only `status` and `reason`. */
  subscriber!: RedisRoleHealthDto;
}

/** Whether this process can serve. */
export class ReadinessDto {
  /** `ok` and `degraded` come with 200, `down` with 503. */
  @ApiProperty({ enum: HEALTH })
  status!: Health;
  /** `stopping` while the process shuts down. */
  reason?: string;
  redis!: RedisHealthDto;
}
