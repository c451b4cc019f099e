import { Injectable } from '@nestjs/common';
import { Lru } from '../common/lru.js';
import type { ProjectId } from '../common/project-id.js';
import { type LimitField, LimitsRegistry, NONE } from './limits.registry.js';
import { readPolicy, type Rules } from './policy.js';

/** How long another instance may go by a policy that the owner has replaced, and at most refuse by what it remembers. */
export const RECHECK_MS = 1000;
const PROJECTS = 10_000;
/** Names come from callers: a project that makes up many is remembered from the start again. */
const FIELDS = 2000;

/** A policy as the process knows it. */
export interface Known {
  readonly field: LimitField;
  /** What the owner has set, {@link NONE} when nothing. */
  readonly own: string;
  /** What holds, `undefined` when neither owner nor process has a policy. */
  readonly rules: Rules | undefined;
  /** When the script that compared it last was sent, by the monotonic clock: {@link RECHECK_MS} later the next one compares. */
  readonly at: number;
}

/**
 * The owners' policies that this process has met, so that a script need not read the settings: at most a second old, or the
 * script compares first, and answers which policy holds when it is another one. What this process itself has set holds at once.
 */
@Injectable()
export class PolicyMemory {
  readonly #projects = new Lru<ProjectId, Map<LimitField, Known>>(PROJECTS);

  constructor(private readonly declared: LimitsRegistry) {}

  get(projectId: ProjectId, fields: readonly LimitField[]): Known[] {
    const entries = this.#projects.get(projectId);
    return fields.map((field) => entries?.get(field) ?? this.#known(field, NONE, -Infinity));
  }

  /**
   * Takes note of what the settings hold. What was learned by a later call stays: an answer may be overtaken.
   * @param at when the call was sent.
   */
  learn(projectId: ProjectId, field: LimitField, own: string, at: number): void {
    let entries = this.#projects.get(projectId);
    if (!entries || entries.size >= FIELDS) this.#projects.set(projectId, (entries = new Map<LimitField, Known>()));
    const entry = entries.get(field);
    if (!entry || entry.at <= at) entries.set(field, this.#known(field, own, at));
  }

  /** Has everything of the project compared again. */
  forget(projectId: ProjectId): void {
    this.#projects.delete(projectId);
  }

  #known(field: LimitField, own: string, at: number): Known {
    const text = own === NONE ? this.declared.text(field) : own;
    return { field, own, rules: text === NONE ? undefined : readPolicy(text), at };
  }
}
