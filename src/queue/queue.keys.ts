import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { sha256 } from '../common/tokens.js';
import { type Idempotency, idempotency } from '../redis/idempotency.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** Key and channel names of one queue of one project; `src/queue/README.md` has their content. */
@Injectable()
export class QueueKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** The waiting tasks: what other programs push to and pop from. */
  list(projectId: ProjectId, queue: string): string {
    return this.keys.key(projectId, 'queue', queue);
  }

  /** The keys that every script of a queue gets, by their names in the scripts. */
  places(projectId: ProjectId, queue: string) {
    const key = (part: string): string => this.keys.key(projectId, 'queue', queue, part);
    return {
      list: this.list(projectId, queue),
      waiting: key('waiting'),
      bytes: key('bytes'),
      leases: key('leases'),
      delayed: key('delayed'),
      retry: key('retry'),
      dead: key('dead'),
      size: key('size'),
      dedupe: key('dedupe'),
      wake: key('wake'),
      purged: key('purged'),
    };
  }

  /** Owner's settings; no TTL. */
  settings(projectId: ProjectId, queue: string): string {
    return this.keys.key(projectId, 'config', 'queue', queue);
  }

  /** What a named lease request got. */
  request(projectId: ProjectId, queue: string, requestId: string | undefined): string {
    return this.keys.key(projectId, 'queue', queue, 'request', requestId === undefined ? 'none' : sha256(requestId));
  }

  idempotency(projectId: ProjectId, header: string | undefined, body: unknown): Idempotency {
    return idempotency(this.keys, projectId, 'queue.enqueue', header, body);
  }

  /** Every place at which work may wait: whether one of them exists is whether somebody should look. */
  work(projectId: ProjectId, queue: string): string[] {
    const { list, retry, delayed, leases } = this.places(projectId, queue);
    return [list, retry, delayed, leases];
  }
}
