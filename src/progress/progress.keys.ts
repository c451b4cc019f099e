import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { sha256 } from '../common/tokens.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** Key and channel names of progress. */
@Injectable()
export class ProgressKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** Channel on which other programs publish and listen; what the API publishes is mirrored to it, with an id. */
  channel(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress');
  }

  /** Channel from which alone the hubs deliver: each event once, in order, with its sequence number. */
  seqChannel(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'seq');
  }

  /** Epoch and sequence of the log. HASH; TTL: the log's and a quarter. */
  meta(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'meta');
  }

  /** The events. STREAM; TTL `PROGRESS_RETENTION_SECONDS` after the last one. */
  log(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'log');
  }

  /** The operations, by time of their last event. ZSET; TTL 24 h after the last one. */
  operations(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'ops');
  }

  /** When operations are lost unless they report again. ZSET; TTL as the operations. */
  leases(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'leases');
  }

  /** State of an operation. HASH; TTL 24 h after its last event. Without an id: a key that is never written. */
  operation(projectId: ProjectId, operationId: string | undefined): string {
    return operationId === undefined
      ? this.keys.key(projectId, 'progress', 'op')
      : this.keys.key(projectId, 'progress', 'op', operationId);
  }

  /** Output of an operation. String; TTL as its state. Without an id: a key that is never written. */
  text(projectId: ProjectId, operationId: string | undefined): string {
    return operationId === undefined
      ? this.keys.key(projectId, 'progress', 'text')
      : this.keys.key(projectId, 'progress', 'op', operationId, 'text');
  }

  /** Lease of the instance that takes in what others publish. HASH, see claim-ingest.lua; TTL 65 s, the lease in it 5 s. */
  ingest(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'ingest');
  }

  /** Places of the open streams, by time at which they run out. ZSET; TTL 40 s, renewed while a stream is open. */
  streams(projectId: ProjectId): string {
    return this.keys.key(projectId, 'progress', 'streams');
  }

  /** Who a ticket is for. String; TTL 30 s. */
  ticket(projectId: ProjectId, ticket: string): string {
    return this.keys.key(projectId, 'progress', 'ticket', sha256(ticket));
  }

  /** Who a stream's cookie is for. String; TTL: until the credential behind the ticket ends, at most 24 h. */
  cookie(projectId: ProjectId, cookie: string): string {
    return this.keys.key(projectId, 'progress', 'cookie', sha256(cookie));
  }
}
