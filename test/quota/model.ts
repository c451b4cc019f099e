import { WINDOWS, type WindowKind, WINDOW_KINDS } from '../../src/quota/policy.js';

/** What the model needs to know of a policy. */
export interface ModelPolicy {
  readonly limits: Partial<Record<WindowKind, number>>;
  readonly bucket?: { readonly limit: number; readonly window_seconds: number };
}

export type OnExpiry = 'charge_reported' | 'charge' | 'refund';

interface Cell {
  used: number;
  held: number;
}

/** Holds that are open together in a bucket that has not been full meanwhile. */
interface Together {
  /** Where the bucket would stand without them. */
  without: number;
  sum: number;
}

interface Hold {
  readonly id: string;
  readonly cells: Record<WindowKind, Cell>;
  readonly onExpiry: OnExpiry;
  readonly ttlMs: number;
  readonly madeAt: number;
  state: 'open' | 'expired' | 'released' | 'committed';
  expiresAt: number;
  amount: number;
  /** How much of it the limits had room for. */
  covered: number;
  reported: number;
  charged: number;
  overrun: number;
  /** Those with whom it weighs in the bucket, until that is full or the hold ends. */
  among: Together | undefined;
}

/** What the bucket has met: another policy, or an amount; of a hold, what it was to take. */
type Met = { at: number; bucket: ModelPolicy['bucket'] } | { at: number; amount: number; hold?: Hold };

const LONGEST_HOLD_MS = 86_400_000;
const REPLAY_MS = 600_000;

/** What one resource of one project must do, without a thought of Redis: the promises of the README, one after the other. */
export class QuotaModel {
  readonly holds: Hold[] = [];
  readonly #cells = new Map<string, Cell>();
  readonly #replays = new Map<string, { body: string; until: number; value: unknown }>();
  readonly #met: Met[] = [];
  #level = 0;
  #together: Together | undefined;

  constructor(
    public now: number,
    private policy: ModelPolicy,
  ) {
    this.#met.push({ at: now, bucket: policy.bucket });
  }

  /** What the bucket counts as consumed. */
  get level(): number {
    return this.#level;
  }

  /** What it would count had every hold that has ended only ever taken what it is charged. No release may give more than that. */
  get leastLevel(): number {
    let [level, at] = [0, 0];
    let bucket: ModelPolicy['bucket'];
    const left = new Map(this.holds.map((hold) => [hold, hold.state === 'open' ? Infinity : hold.charged]));
    for (const met of this.#met) {
      if (bucket) level = Math.max(0, level - ((met.at - at) * bucket.limit) / (bucket.window_seconds * 1000));
      at = met.at;
      if (!('amount' in met)) ({ bucket } = met);
      else if (bucket) {
        const taken = met.hold ? Math.min(met.amount, left.get(met.hold)!) : met.amount;
        if (met.hold) left.set(met.hold, left.get(met.hold)! - taken);
        level += taken;
      }
      if (!bucket) level = 0;
    }
    if (!bucket) return 0;
    return Math.max(0, level - ((this.now - at) * bucket.limit) / (bucket.window_seconds * 1000));
  }

  /** What every rule leaves, in whole tokens; undefined without any rule. */
  get room(): number | undefined {
    return this.#room(this.#cellsAt(this.now));
  }

  advance(ms: number): void {
    const { bucket } = this.policy;
    if (bucket) this.#pour((-ms * bucket.limit) / (bucket.window_seconds * 1000));
    this.now += ms;
  }

  /** Holds that are due end as they say, the longest overdue first. Every call does this first. */
  settle(): void {
    const due = this.holds.filter(({ state, expiresAt }) => state === 'open' && expiresAt <= this.now);
    for (const hold of due.sort((a, b) => a.expiresAt - b.expiresAt || (a.id < b.id ? -1 : 1))) {
      this.#close(hold, 'expired', { charge: hold.amount, charge_reported: hold.reported, refund: 0 }[hold.onExpiry]);
    }
  }

  put(policy: ModelPolicy): void {
    if (!policy.bucket) this.#pour(-Infinity);
    this.policy = policy;
    this.#met.push({ at: this.now, bucket: policy.bucket });
  }

  /** @returns whether it is charged. */
  consume(amount: number): boolean {
    if (!this.#fits(amount)) return false;
    this.#post(this.#cellsAt(this.now), amount, 0, amount);
    this.#met.push({ at: this.now, amount });
    return true;
  }

  reserve(id: string, amount: number, ttlSeconds: number, onExpiry: OnExpiry): boolean {
    if (!this.#fits(amount)) return false;
    const [cells, ttlMs] = [this.#cellsAt(this.now), ttlSeconds * 1000];
    if (this.policy.bucket) {
      this.#together ??= { without: this.#level, sum: 0 };
      this.#together.sum += amount;
    }
    this.#post(cells, 0, amount, amount, 0);
    const times = { madeAt: this.now, ttlMs, expiresAt: this.now + ttlMs };
    const none = { reported: 0, charged: 0, overrun: 0 };
    const among = this.#together;
    const hold: Hold = { id, ...times, ...none, among, cells, onExpiry, state: 'open', amount, covered: amount };
    this.holds.push(hold);
    this.#met.push({ at: this.now, amount, hold });
    return true;
  }

  extend(hold: Hold, used: number): { goOn: boolean; remaining: number | undefined } {
    if (hold.state !== 'open') return { goOn: false, remaining: 0 };
    hold.reported = Math.max(hold.reported, used);
    const grown = Math.max(0, hold.reported - hold.amount);
    const room = this.#room(hold.cells);
    const known = this.#knows(hold);
    if (known) known.sum += grown;
    this.#post(hold.cells, 0, grown, grown, known ? 0 : grown);
    this.#met.push({ at: this.now, amount: grown, hold });
    hold.amount += grown;
    hold.covered += Math.min(grown, room ?? grown);
    hold.expiresAt = Math.min(this.now + hold.ttlMs, hold.madeAt + LONGEST_HOLD_MS);
    if (room === undefined) return { goOn: true, remaining: undefined };
    const remaining = hold.amount - hold.reported + Math.max(0, room - grown);
    return { goOn: remaining > 0, remaining };
  }

  /** @returns undefined when another amount was committed before. */
  commit(hold: Hold, amount: number): { charged: number; overrun: number } | undefined {
    if (hold.state !== 'committed') this.#close(hold, 'committed', amount);
    else if (hold.charged !== amount) return undefined;
    return { charged: hold.charged, overrun: hold.overrun };
  }

  release(hold: Hold): void {
    if (hold.state === 'open' || hold.state === 'expired') this.#close(hold, 'released', 0);
  }

  /** The first accepted answer to a key, `conflict` when it came with another body, undefined when there is none. */
  replay(key: string, body: string): { value: unknown } | 'conflict' | undefined {
    const known = this.#replays.get(key);
    if (!known || known.until < this.now) return undefined;
    return known.body === body ? { value: known.value } : 'conflict';
  }

  remember(key: string, body: string, value: unknown): void {
    this.#replays.set(key, { body, until: this.now + REPLAY_MS, value });
  }

  /** What a reading shows. */
  view(): { windows: { kind: WindowKind; limit: number; used: number; held: number }[]; remaining?: number } {
    const cells = this.#cellsAt(this.now);
    const windows = WINDOW_KINDS.flatMap((kind) => {
      const limit = this.policy.limits[kind];
      return limit === undefined ? [] : [{ kind, limit, ...cells[kind] }];
    });
    const { bucket } = this.policy;
    return { windows, ...(bucket ? { remaining: Math.max(0, Math.floor(bucket.limit - this.#level)) } : {}) };
  }

  /** Charged and held in each window, without what was used beyond every hold: what may never exceed a limit. */
  worstOf(kind: WindowKind): number {
    const covered = new Map<Cell, number>();
    for (const [name, cell] of this.#cells) if (name.startsWith(kind)) covered.set(cell, cell.used + cell.held);
    for (const { cells, state, amount, covered: room, overrun } of this.holds) {
      const cell = cells[kind];
      covered.set(cell, covered.get(cell)! - (state === 'open' ? amount - room : overrun));
    }
    return Math.max(0, ...covered.values());
  }

  #close(hold: Hold, state: Hold['state'], charge: number): void {
    const before = hold.state === 'open' ? { held: hold.amount, charged: 0 } : { held: 0, charged: hold.charged };
    const more = charge - before.held - before.charged;
    let level = Math.max(0, more);
    const known = this.#knows(hold);
    if (known) {
      // What flowed in is lost to a bucket that would be full without them: so much of all that they took is no more to give back.
      const lost = Math.max(0, known.sum - (this.#level - known.without));
      level = Math.max(more, Math.min(level, more + lost));
      known.sum -= hold.amount;
      if (known.sum === 0) this.#together = undefined;
    }
    this.#post(hold.cells, charge - before.charged, -before.held, level, known ? charge : level);
    if (charge > hold.amount) this.#met.push({ at: this.now, amount: charge - hold.amount });
    hold.state = state;
    hold.charged = charge;
    hold.overrun = Math.max(0, charge - hold.covered);
    hold.covered = Math.min(hold.covered, charge);
  }

  #fits(amount: number): boolean {
    const { room } = this;
    return room === undefined || amount <= room;
  }

  #room(cells: Record<WindowKind, Cell>): number | undefined {
    const { limits, bucket } = this.policy;
    const rooms = WINDOW_KINDS.flatMap((kind) => {
      const limit = limits[kind];
      return limit === undefined ? [] : [limit - cells[kind].used - cells[kind].held];
    });
    if (bucket) rooms.push(Math.floor(bucket.limit - this.#level));
    return rooms.length === 0 ? undefined : Math.max(0, Math.min(...rooms));
  }

  #knows({ state, among }: Hold): Together | undefined {
    return state === 'open' && among === this.#together ? among : undefined;
  }

  #post(cells: Record<WindowKind, Cell>, used: number, held: number, level: number, without = level): void {
    for (const kind of WINDOW_KINDS) {
      cells[kind].used += used;
      cells[kind].held += held;
    }
    if (this.policy.bucket) this.#pour(level, without);
  }

  #pour(level: number, without = level): void {
    this.#level = Math.max(0, this.#level + level);
    if (!this.#together) return;
    this.#together.without = Math.min(this.#level, Math.max(0, this.#together.without + without));
    if (this.#level === 0) this.#together = undefined;
  }

  #cellsAt(at: number): Record<WindowKind, Cell> {
    const cell = (kind: WindowKind): Cell => {
      const name = `${kind} ${WINDOWS[kind].starts(at, at + 1)[0]!}`;
      const cells = this.#cells;
      if (!cells.has(name)) cells.set(name, { used: 0, held: 0 });
      return cells.get(name)!;
    };
    return { minute: cell('minute'), hour: cell('hour'), day: cell('day'), month: cell('month') };
  }
}
