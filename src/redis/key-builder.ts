import { isName } from '../common/names.js';
import type { ProjectId } from '../common/project-id.js';

/** Thrown for a key part that breaks the name law: a bug of the caller, since input is validated at the edge. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/**
 * The only place in which a Redis key or channel is made: `proj:<project_id>:<part>:<part>…`.
 *
 * On Redis Cluster the project id stands in literal braces, a hash tag, so that all keys of a project live in one slot
 * and one script may touch them all (Redis Cluster specification, hash tags). No feature knows which form is in use.
 */
export class KeyBuilder {
  constructor(private readonly cluster = false) {}

  /** @returns the prefix, with its closing colon, that every key and channel of the project starts with. */
  prefix(projectId: ProjectId): string {
    return this.cluster ? `proj:{${projectId}}:` : `proj:${projectId}:`;
  }

  /**
   * @param parts fixed words and validated names; a part can hold no colon, so two different lists never make one key.
   * @throws KeyError for an empty list or a part that is no name.
   */
  key(projectId: ProjectId, ...parts: [string, ...string[]]): string {
    if (parts.length === 0 || !parts.every(isName)) {
      throw new KeyError(`not the parts of a key: ${JSON.stringify(parts).slice(0, 80)}`);
    }
    return this.prefix(projectId) + parts.join(':');
  }

  /** @returns the parts of a key of this project, or `undefined` when the key belongs to another or to none. */
  parts(projectId: ProjectId, key: string): string[] | undefined {
    const prefix = this.prefix(projectId);
    return key.startsWith(prefix) ? key.slice(prefix.length).split(':') : undefined;
  }

  /** @returns the SCAN pattern of one project's keys. A UUID holds no glob character; in braces they are literal too. */
  scanPattern(projectId: ProjectId): string {
    return `${this.prefix(projectId)}*`;
  }

  /** The one pattern subscription of the product: queue wake-ups of all projects, which carry no data. */
  get wakePattern(): string {
    return 'proj:*:queue:*:wake';
  }

  /** @returns project and queue of a wake-up channel, unvalidated, or `undefined` when it is none. */
  parseWake(channel: string): { projectId: string; queue: string } | undefined {
    const match = /^proj:\{?([0-9a-f-]{36})\}?:queue:([A-Za-z0-9._-]{1,128}):wake$/.exec(channel);
    return match ? { projectId: match[1]!, queue: match[2]! } : undefined;
  }
}
