import type { Cursor } from '../cursor.js';
import { ProgressEvent } from '../progress-event.js';

/** Bytes of events that are merged into one run at most, so that a slow reader gets it in one piece. */
const MAX_RUN_BYTES = 64 * 1024;

/** What may be merged: text of an operation's output, and pure counts. Anything else has a meaning of its own. */
type Mergeable = { readonly off: number; readonly text: string } | { readonly done?: number; readonly total?: number };

/** Events of one operation that become one. */
interface Group {
  readonly type: string;
  readonly operationId: string;
  data: Mergeable;
  /** Where the text ends, in bytes. */
  end: number;
}

/**
 * Merges what a slow reader has not taken yet: adjacent text of one operation becomes one piece, and of its counts the latest
 * win. Nothing moves past an event that is neither.
 *
 * @returns runs, in order. What was merged carries the id before its run, but for the run's last event, which carries the
 * id of the last one merged: whoever is cut within a run gets all of it again, and both texts and counts bear that.
 */
export function coalesce(events: readonly ProgressEvent[]): ProgressEvent[][] {
  const runs: ProgressEvent[][] = [];
  let run = new Run();
  const end = (): void => {
    if (run.events.length > 0) runs.push(run.merged());
    run = new Run();
  };
  for (const event of events) {
    const data = mergeable(event);
    if (!data || run.bytes + event.json.length > MAX_RUN_BYTES) end();
    if (data) run.add(event, data);
    else runs.push([event]);
  }
  end();
  return runs;
}

class Run {
  readonly events: ProgressEvent[] = [];
  bytes = 0;
  readonly #groups: Group[] = [];
  readonly #latest = new Map<string, Group>();

  add(event: ProgressEvent, data: Mergeable): void {
    this.events.push(event);
    this.bytes += event.json.length;
    const key = `${'text' in data ? 'text' : 'counts'} ${event.operationId} ${event.type}`;
    const group = this.#latest.get(key);
    if (group && join(group, data)) return;
    const fresh = { type: event.type, operationId: event.operationId!, data, end: endOf(data) };
    this.#latest.set(key, fresh);
    this.#groups.push(fresh);
  }

  merged(): ProgressEvent[] {
    if (this.#groups.length === this.events.length) return this.events;
    const first = this.events[0]!.cursor;
    const before: Cursor = { epoch: first.epoch, seq: first.seq - 1 };
    const last = this.#groups.length - 1;
    return this.#groups.map(({ type, operationId, data }, i) =>
      ProgressEvent.of(i === last ? this.events.at(-1)!.cursor : before, type, data, operationId),
    );
  }
}

/** @returns whether `next` has become part of the group. */
function join(group: Group, next: Mergeable): boolean {
  const { data } = group;
  if (!('text' in data && 'text' in next)) {
    group.data = { ...data, ...next };
    return true;
  }
  if (next.off > group.end) return false;
  const rest = Buffer.from(next.text).subarray(group.end - next.off);
  // Not where a character begins: it stays a piece of its own.
  if (rest.length > 0 && (rest[0]! & 0xc0) === 0x80) return false;
  group.data = { off: data.off, text: data.text + rest.toString() };
  group.end += rest.length;
  return true;
}

function endOf(data: Mergeable): number {
  return 'text' in data ? data.off + Buffer.byteLength(data.text) : 0;
}

function mergeable(event: ProgressEvent): Mergeable | undefined {
  const { operationId, ends, data } = event;
  if (operationId === undefined || ends || typeof data !== 'object' || data === null) return undefined;
  const { off, text, done, total, ...more } = data as Record<string, unknown>;
  if (Object.keys(more).length > 0) return undefined;
  const counts = [done, total].filter((count) => count !== undefined);
  if (typeof off === 'number' && typeof text === 'string') return counts.length > 0 ? undefined : { off, text };
  const pure = off === undefined && text === undefined && counts.length > 0;
  return pure && counts.every((count) => typeof count === 'number') ? (data as Mergeable) : undefined;
}
