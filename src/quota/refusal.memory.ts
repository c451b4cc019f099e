import { Injectable } from '@nestjs/common';
import { Lru } from '../common/lru.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { RECHECK_MS } from './policy.memory.js';
import {
  type BucketState,
  bucketsOf,
  type ItemState,
  type QuotaItem,
  type RateItem,
  type RulesState,
} from './quota.state.js';

const PROJECTS = 10_000;
/** Rules and users of one project; then its memory begins again. */
const RULES = 1000;
/** What no waiting lets pass: said as a day (`bucket_retry` in the scripts). */
const NEVER_MS = 86_400_000;

/** A state that a refused call has shown. */
interface Seen {
  /** From which cost on it refuses: infinite where it let the call pass. */
  readonly cost: number;
  readonly state: RulesState;
  /** When the answer came, and until when it is good, by the monotonic clock. */
  readonly at: number;
  readonly until: number;
}

interface Memory {
  /** Refusals of calls that were sent before are not taken in. */
  since: number;
  readonly seen: Map<string, Seen>;
}

/**
 * What Redis has just refused: asked again for as much or more, a rule refuses from memory, so that a flood costs no round
 * trip. An entry is good until its rule can pass again, a second at most, and void at once where this process changed a limit.
 * A rule with open holds is never remembered: a release may let it pass at any moment.
 */
@Injectable()
export class RefusalMemory {
  readonly #projects = new Lru<ProjectId, Memory>(PROJECTS);

  /** @returns how the item stands and whether it is refused, or `undefined` when only Redis knows. */
  find(
    projectId: ProjectId,
    item: RateItem | QuotaItem,
    user?: string,
  ): (ItemState & { refuses: boolean }) | undefined {
    const seen = this.#projects.get(projectId)?.seen;
    // The most frequent case by far, before each request.
    if (!seen || seen.size === 0) return undefined;
    const key = keyOf(item, user);
    const entry = seen.get(key);
    if (!entry) return undefined;
    const now = monotonicMs();
    if (now >= entry.until) {
      seen.delete(key);
      return undefined;
    }
    const state = stateAt(entry, costOf(item), now - entry.at);
    return state && { item, state, refuses: entry.cost < Infinity };
  }

  /** Takes in what a refused call learned. @param sent when it was sent, by the monotonic clock. */
  note(projectId: ProjectId, items: readonly ItemState[], sent: number, user?: string): void {
    const memory = this.#memoryOf(projectId);
    const longest = Math.max(...items.map(({ state }) => retryOf(state)));
    const keys = items.map(({ item }) => keyOf(item, user));
    // What was summed does not tell the cost of each.
    if (sent < memory.since || new Set(keys).size < keys.length) return;
    const now = monotonicMs();
    items.forEach(({ item, state }, i) => {
      if (mayBeReleased(state) || ('kinds' in item && item.kinds)) return;
      const cost = retryOf(state) > 0 ? costOf(item) : Infinity;
      const before = memory.seen.get(keys[i]!);
      if (before && now < before.until && before.cost <= cost) return;
      const until = sent + Math.min(retryOf(state) || longest, RECHECK_MS);
      memory.seen.set(keys[i]!, { cost, state, at: now, until });
    });
  }

  /** A limit of the project was changed here, or a hold ended: what was refused may pass now. */
  forget(projectId: ProjectId): void {
    this.#projects.set(projectId, { since: monotonicMs(), seen: new Map() });
  }

  #memoryOf(projectId: ProjectId): Memory {
    let memory = this.#projects.get(projectId);
    if (!memory || memory.seen.size >= RULES) {
      memory = { since: memory?.since ?? 0, seen: new Map() };
      this.#projects.set(projectId, memory);
    }
    return memory;
  }
}

function mayBeReleased({ windows, bucket }: RulesState): boolean {
  return bucket?.held === true || windows.some(({ held }) => held > 0);
}

/** How long an item is refused by its rules that are not dry, in ms; 0 when they do not refuse it. */
export function retryOf(state: RulesState): number {
  if (state.dry) return 0;
  let longest = 0;
  for (const { retryMs } of state.windows) longest = Math.max(longest, retryMs);
  for (const { retryMs, dry } of bucketsOf(state)) if (!dry) longest = Math.max(longest, retryMs);
  return longest;
}

function keyOf(item: RateItem | QuotaItem, user: string | undefined): string {
  return 'action' in item ? `rate:${item.action}:${user ?? ''}` : `quota:${item.resource}`;
}

function costOf(item: RateItem | QuotaItem): number {
  return 'action' in item ? item.cost : item.amount;
}

/** @returns the state for `cost`, later than it was noted, where that follows from what is known. */
function stateAt({ cost: refused, state }: Seen, cost: number, elapsedMs: number): RulesState | undefined {
  if (cost < refused && refused < Infinity) return undefined;
  const more = Math.max(0, cost - refused);
  let known = true;
  const later = (bucket: BucketState): BucketState => {
    const { limit, windowSeconds, remaining, resetMs, retryMs } = bucket;
    // A rule that let the smaller cost pass may refuse this one, but when it gives way again only Redis knows.
    if (retryMs === 0 && more > 0 && cost > remaining) known = false;
    const wait = cost > limit ? NEVER_MS : retryMs + Math.ceil((more * windowSeconds * 1000) / limit) - elapsedMs;
    return { ...bucket, resetMs: Math.max(0, resetMs - elapsedMs), retryMs: retryMs === 0 ? 0 : Math.max(1, wait) };
  };
  const windows = state.windows.map((window) => {
    if (window.retryMs === 0 && more > 0 && cost > window.limit - window.used) known = false;
    const wait = cost > window.limit ? NEVER_MS : window.retryMs - elapsedMs;
    return { ...window, retryMs: window.retryMs === 0 ? 0 : Math.max(1, wait) };
  });
  const { bucket, buckets, dry } = state;
  const aged: RulesState = {
    windows,
    ...(bucket ? { bucket: later(bucket) } : {}),
    ...(buckets ? { buckets: buckets.map(later) } : {}),
    ...(dry ? { dry } : {}),
  };
  return known ? aged : undefined;
}
