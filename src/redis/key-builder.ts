import { isName } from '../common/names.js';
import { parseProjectId, type ProjectId } from '../common/project-id.js';

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
    let key = this.prefix(projectId);
    for (let i = 0; i < parts.length; i += 1) {
      if (!isName(parts[i])) throw notParts(parts);
      key += i === 0 ? parts[i] : `:${parts[i]}`;
    }
    if (parts.length === 0) throw notParts(parts);
    return key;
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

  /** @returns the SCAN pattern of all keys of a queue of any project: for the paced discovery in the background only. */
  queuePattern(queue: string): string {
    return `proj:*:queue:${queue}*`;
  }

  /** @returns the project that a key belongs to, or `undefined` when it is not one of the product's. */
  projectOf(key: string): ProjectId | undefined {
    const match = /^proj:\{?([0-9a-f-]{36})\}?:/.exec(key);
    try {
      return match ? parseProjectId(match[1]) : undefined;
    } catch {
      return undefined;
    }
  }

  /** The one pattern subscription of the product: queue wake-ups of all projects, which carry no data. */
  get wakePattern(): string {
    return 'proj:*:queue:*:wake';
  }

  /** @returns project and queue of a wake-up channel, or `undefined` when it is none. */
  parseWake(channel: string): { projectId: ProjectId; queue: string } | undefined {
    const projectId = this.projectOf(channel);
    const queue = /:queue:([A-Za-z0-9._-]{1,128}):wake$/.exec(channel)?.[1];
    return projectId && queue ? { projectId, queue } : undefined;
  }
}

function notParts(parts: readonly string[]): KeyError {
  return new KeyError(`not the parts of a key: ${JSON.stringify(parts).slice(0, 80)}`);
}
