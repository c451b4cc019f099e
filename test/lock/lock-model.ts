const CLAIM_MS = 500;
const ALIVE_MS = 2000;
const ROOM_MS = 60_000;
const RELEASED_MS = 600_000;

/** A value with a TTL: gone once the clock is past its end, as Redis counts. */
class Mortal<T> {
  constructor(
    readonly value: T,
    public until: number,
  ) {}
}

export type Part = 'lock' | 'fence' | 'queue' | 'alive';

export interface Holder {
  readonly owner: string;
  readonly fence: number;
}

/** What can be seen of a lock. */
export interface Look {
  readonly holder: Holder | undefined;
  readonly until: number | undefined;
  /** 0 when the counter is lost. */
  readonly last: number;
  readonly queue: readonly string[];
  /** Who of them has given a sign. */
  readonly alive: readonly string[];
  readonly released: readonly string[];
}

/** The reference: what one lock is, in the simplest words, without marks. Times in Unix ms. */
export class LockModel {
  #lock: Mortal<Holder> | undefined;
  #queue = new Mortal(new Map<string, number>(), Infinity);
  #alive = new Mortal(new Map<string, number>(), Infinity);
  readonly #released = new Map<string, number>();
  #last = 0;

  constructor(public now: number) {}

  get holder(): Holder | undefined {
    if (this.#lock && this.now > this.#lock.until) this.lose('lock');
    return this.#lock?.value;
  }

  /** Who waits, by place, as a sorted set sorts. */
  get queue(): readonly string[] {
    if (this.now > this.#queue.until) this.lose('queue');
    if (this.now > this.#alive.until) this.lose('alive');
    return [...this.#queue.value].sort(([x, a], [y, b]) => a - b || (x < y ? -1 : 1)).map(([owner]) => owner);
  }

  /** All that can be seen of it; what has expired by now is gone for good. */
  look(): Look {
    for (const [owner, until] of this.#released) if (this.now > until) this.#released.delete(owner);
    return {
      holder: this.holder,
      until: this.holder && this.#lock!.until,
      last: this.#last,
      queue: this.queue,
      alive: this.queue.filter((owner) => this.#alive.value.has(owner)),
      released: [...this.#released.keys()].sort(),
    };
  }

  /** @returns the fence and the end, or how long to wait and the place. */
  acquire(
    owner: string,
    ttlMs: number,
    waits: boolean,
  ): { fence: number; until: number } | { left: number; place: string } {
    if (!this.holder) {
      const place = this.queue.includes(owner) ? this.#queue.value.get(owner) : undefined;
      if (place !== undefined) this.#enter(owner, place);
      if (!this.#handOver()) this.#grant(owner, ttlMs);
    }
    const { value, until } = this.#lock!;
    if (value.owner === owner) {
      this.#lock!.until = this.now + ttlMs;
      return { fence: value.fence, until: this.#lock!.until };
    }
    const newest = Math.max(0, ...this.queue.map((other) => this.#queue.value.get(other)!));
    const place = Math.max(this.now * 1000, newest + 1);
    if (waits) this.#enter(owner, place);
    return { left: until - this.now, place: waits ? String(place) : '' };
  }

  release(owner: string): boolean {
    if (this.holder?.owner === owner) {
      this.#released.set(owner, this.now + RELEASED_MS);
      this.#lock = undefined;
      this.#handOver();
      return true;
    }
    this.#leave(owner);
    return this.look().released.includes(owner);
  }

  /** @returns the new end, or nothing when it is not the holder's to prolong. */
  extend(owner: string, ttlMs: number): number | undefined {
    if (this.holder?.owner !== owner) return undefined;
    return (this.#lock!.until = this.now + ttlMs);
  }

  beat(waiters: readonly (readonly [owner: string, place: number])[]): number[] {
    for (const [owner, place] of waiters) if (this.holder?.owner !== owner) this.#enter(owner, place);
    return waiters.map(([owner]) => {
      if (!this.holder) this.#handOver();
      const left = this.#lock!.until - this.now;
      return this.holder?.owner === owner ? -left || 0 : left;
    });
  }

  /** A key is gone: it expired, was evicted, or somebody deleted it. */
  lose(what: Part): void {
    if (what === 'lock') this.#lock = undefined;
    if (what === 'fence') this.#last = 0;
    if (what === 'queue') this.#queue = new Mortal(new Map<string, number>(), Infinity);
    if (what === 'alive') this.#alive = new Mortal(new Map<string, number>(), Infinity);
  }

  flush(): void {
    for (const what of ['lock', 'fence', 'queue', 'alive'] as const) this.lose(what);
    this.#released.clear();
  }

  #grant(owner: string, ttlMs: number): void {
    this.#last = Math.max(this.#last + 1, this.now * 1000);
    this.#lock = new Mortal({ owner, fence: this.#last }, this.now + ttlMs);
  }

  #enter(owner: string, place: number): void {
    if (!this.queue.includes(owner)) this.#queue.value.set(owner, place);
    this.#alive.value.set(owner, this.now + ALIVE_MS);
    this.#queue.until = this.#alive.until = this.now + ROOM_MS;
  }

  #leave(owner: string): void {
    this.#queue.value.delete(owner);
    this.#alive.value.delete(owner);
  }

  #handOver(): boolean {
    for (const owner of this.queue) if ((this.#alive.value.get(owner) ?? Infinity) <= this.now) this.#leave(owner);
    const [first] = this.queue;
    if (first === undefined) return false;
    this.#leave(first);
    this.#grant(first, CLAIM_MS);
    return true;
  }
}
