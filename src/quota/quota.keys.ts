import { Injectable } from '@nestjs/common';
import { isName } from '../common/names.js';
import type { ProjectId } from '../common/project-id.js';
import { sha256 } from '../common/tokens.js';
import { type Idempotency, idempotency } from '../redis/idempotency.js';
import { KeyBuilder } from '../redis/key-builder.js';
import { WINDOWS, type WindowKind } from './policy.js';

/** Key names of rate limits and quotas. */
@Injectable()
export class QuotaKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** What the owner has set. HASH `rate:<action>` and `quota:<resource>` → policy; no TTL. */
  settings(projectId: ProjectId): string {
    return this.keys.key(projectId, 'config', 'limits');
  }

  /** A rate limit's token bucket, of the project or of one user. String; TTL until it is full again. */
  rateBucket(projectId: ProjectId, action: string, windowSeconds: number, user?: string): string {
    return user === undefined
      ? this.keys.key(projectId, 'ratelimit', action, String(windowSeconds))
      : this.keys.key(
          projectId,
          'ratelimit',
          action,
          String(windowSeconds),
          'user',
          isName(user) ? user : sha256(user),
        );
  }

  /** A resource's token bucket (string; TTL until it is full again), and the base of the resource's other keys. */
  resource(projectId: ProjectId, resource: string): string {
    return this.keys.key(projectId, 'quota', resource);
  }

  /** One calendar window of a resource, by its start in Unix seconds. String; TTL as in `lua/include/ledger.lua`. */
  cell(projectId: ProjectId, resource: string, kind: WindowKind, start: number): string {
    return this.keys.key(projectId, 'quota', resource, kind, String(start));
  }

  /** One reservation. HASH; TTL beyond the month in which it was made, a day after its end. */
  hold(projectId: ProjectId, resource: string, id: string): string {
    return this.keys.key(projectId, 'quota', resource, 'hold', id);
  }

  /** Open reservations by the time at which they expire. ZSET; TTL beyond the month of the last one. */
  due(projectId: ProjectId, resource: string): string {
    return this.keys.key(projectId, 'quota', resource, 'due');
  }

  /** What answers a repeated `Idempotency-Key`. HASH; TTL 10 minutes. */
  replay(projectId: ProjectId, op: string, header: string | undefined, body: unknown): Idempotency {
    return idempotency(this.keys, projectId, op, header, body);
  }

  /** The keys of a resource but its reservations, in all windows that may still stand at `nowMs`: for a purge. */
  allOf(projectId: ProjectId, resource: string, nowMs: number): string[] {
    const cells = Object.entries(WINDOWS).flatMap(([kind, window]) =>
      window
        .starts(nowMs - window.keptMs, nowMs + window.longestMs)
        .map((start) => this.cell(projectId, resource, kind as WindowKind, start / 1000)),
    );
    return [this.resource(projectId, resource), this.due(projectId, resource), ...cells];
  }
}
