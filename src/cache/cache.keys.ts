import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** A key that the sweep has found under `proj:<p>:doc:`, if it is a version of a document. */
export interface FoundVersion {
  readonly key: string;
  readonly docId: string;
  readonly version: string;
}

/** Key names of documents and of what keeps them coherent. */
@Injectable()
export class CacheKeys {
  constructor(private readonly keys: KeyBuilder) {}

  /** The document. String, on the cache server; TTL: the writer's. Shared with other programs (wire contract). */
  doc(projectId: ProjectId, docId: string): string {
    return this.keys.key(projectId, 'doc', docId);
  }

  /** One version of the document. String, on the cache server; TTL: the writer's. Shared with other programs. */
  version(projectId: ProjectId, docId: string, version: number): string {
    return this.keys.key(projectId, 'doc', docId, 'version', String(version));
  }

  /** The versions that the API wrote and that still live. ZSET by expiry, on the cache server; TTL of the longest-living. */
  versions(projectId: ProjectId, docId: string): string {
    return this.keys.key(projectId, 'doc', docId, 'versions');
  }

  /**
   * The mark of the project's epoch, `clean:<n>` or `dirty:<n>`. String. The truth stands on the state server, a copy under
   * the same name on the cache server; with one server both are one. TTL: 400 days while dirty, else one day.
   */
  epoch(projectId: ProjectId): string {
    return this.keys.key(projectId, 'cache', 'epoch');
  }

  /** What the API wrote while the project is dirty, with the epoch. HASH, on the cache server; TTL one day, gone after the sweep. */
  fresh(projectId: ProjectId): string {
    return this.keys.key(projectId, 'cache', 'fresh');
  }

  /** Deleted documents whose foreign versions have not been swept. ZSET by time, on the cache server; TTL one day. */
  deleted(projectId: ProjectId): string {
    return this.keys.key(projectId, 'cache', 'deleted');
  }

  /** A process is sweeping the project. String, on the cache server; TTL 15 s, renewed. */
  sweeping(projectId: ProjectId): string {
    return this.keys.key(projectId, 'cache', 'sweeping');
  }

  /** @returns whether a key of the project belongs to documents. */
  isOfDocuments(projectId: ProjectId, key: string): boolean {
    return this.keys.parts(projectId, key)?.[0] === 'doc';
  }

  /** @returns what the key says, or `undefined` when it is no version of a document. */
  parseVersion(projectId: ProjectId, key: string): FoundVersion | undefined {
    const parts = this.keys.parts(projectId, key);
    if (parts?.length !== 4 || parts[0] !== 'doc' || parts[2] !== 'version') return undefined;
    return { key, docId: parts[1]!, version: parts[3]! };
  }
}
