import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** A key that the sweep has found under `proj:<p>:doc:`, if it is a version of a document. */
export interface FoundVersion {
  readonly key: string;
  readonly docId: string;
  readonly version: string;
}

/** The type under which documents are loaded: their keys are the shared ones. */
export const DOCUMENT_TYPE = 'doc';

/** Key names of documents and entries and of what keeps them coherent. */
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

  /** A loaded value of another type than documents. String, JSON or gzip of it, on the cache server; TTL: its type's. */
  entry(projectId: ProjectId, type: string, id: string): string {
    return this.keys.key(projectId, 'entry', type, id);
  }

  /** What a load noted of its bytes: until when they are fresh, its duration, their checksum. String; TTL: the value's. */
  meta(projectId: ProjectId, type: string, id: string): string {
    return this.keys.key(projectId, 'cache', 'meta', type, id);
  }

  /** A load is under way. String; TTL: the load's time-out and a second. */
  lease(projectId: ProjectId, type: string, id: string): string {
    return this.keys.key(projectId, 'cache', 'lease', type, id);
  }

  /** Channel, on the state server: a load for which others wait has ended, `stored` or `open`. */
  loaded(projectId: ProjectId, type: string, id: string): string {
    return this.keys.key(projectId, 'cache', 'loaded', type, id);
  }

  /** The greatest fence of a lock that wrote the document. String, on the cache server; TTL 7 days. */
  guard(projectId: ProjectId, docId: string): string {
    return this.keys.key(projectId, 'cache', 'fence', docId);
  }

  /** A process is sweeping the project. String, on the cache server; TTL 15 s, renewed. */
  sweeping(projectId: ProjectId): string {
    return this.keys.key(projectId, 'cache', 'sweeping');
  }

  /** @returns whether an invalidation makes the key invisible: documents, entries and what is noted of them. */
  isInvalidated(projectId: ProjectId, key: string): boolean {
    const [kind, part] = this.keys.parts(projectId, key) ?? [];
    return kind === 'doc' || kind === 'entry' || (kind === 'cache' && part === 'meta');
  }

  /** @returns what the key says, or `undefined` when it is no version of a document. */
  parseVersion(projectId: ProjectId, key: string): FoundVersion | undefined {
    const parts = this.keys.parts(projectId, key);
    if (parts?.length !== 4 || parts[0] !== 'doc' || parts[2] !== 'version') return undefined;
    return { key, docId: parts[1]!, version: parts[3]! };
  }
}
