import { Lru } from '../common/lru.js';

/** Projects whose debt is remembered while they have no work. */
const REMEMBERED = 10_000;
/** How much the last job counts in the guess at the next one's time. */
const LEARNING = 0.2;
const NOBODY: ReadonlySet<never> = new Set();

interface Entry<T> {
  readonly id: T;
  weight: number;
  /** Milliseconds of work that it may still have in this round; negative: it had more than its share. */
  credit: number;
  /** Guess at what a job of it takes, in milliseconds. */
  cost: number;
}

/**
 * Whose turn it is: deficit round robin (Shreedhar and Varghese) over those that have work, charged by the time their jobs
 * really took. Nobody is waited for: who has no work, is paused or at its cap leaves the ring, so one alone gets everything.
 * A debt stays, so that long jobs are not forgotten by being away for a moment; unused credit does not.
 */
export class FairRing<T> {
  /** In the order in which they are served. */
  readonly #ring = new Map<T, Entry<T>>();
  readonly #known = new Lru<T, Entry<T>>(REMEMBERED);

  get size(): number {
    return this.#ring.size;
  }

  /** It has work; at the end of the line when it was not in it. */
  add(id: T): void {
    if (!this.#ring.has(id)) this.#ring.set(id, this.#entry(id));
  }

  /** It has no work that anybody may take now. */
  leave(id: T): void {
    const entry = this.#ring.get(id);
    if (entry) entry.credit = Math.min(entry.credit, 0);
    this.#ring.delete(id);
  }

  clear(): void {
    this.#ring.clear();
  }

  /**
   * @param busy who is passed over for now; no round begins before their turns are over, or they would lose their share.
   * @returns who is served next; the same one until its credit is used up.
   */
  next(busy: Pick<ReadonlySet<T>, 'has'> = NOBODY): T | undefined {
    while (this.#ring.size > 0) {
      let turns = this.#ring.size;
      let unfinished = false;
      for (const entry of this.#ring.values()) {
        if (turns === 0) break;
        turns -= 1;
        if (entry.credit > 0) {
          if (!busy.has(entry.id)) return entry.id;
          unfinished = true;
        } else if (!unfinished) {
          // Its turn is over: to the end of the line.
          this.#ring.delete(entry.id);
          this.#ring.set(entry.id, entry);
        }
      }
      if (unfinished) return undefined;
      this.#nextRound();
    }
    return undefined;
  }

  setWeight(id: T, weight: number): void {
    this.#entry(id).weight = weight;
  }

  /** A job of it is asked for, which nobody else of the ring shall wait for. @returns what to call with the answer. */
  hold(id: T): () => void {
    const entry = this.#entry(id);
    const guess = entry.cost;
    entry.credit -= guess;
    return () => {
      entry.credit += guess;
    };
  }

  /** A job of it starts. @returns what to call with the milliseconds that it took. */
  charge(id: T): (ms: number) => void {
    const entry = this.#entry(id);
    const guess = entry.cost;
    entry.credit -= guess;
    return (ms) => {
      entry.credit += guess - ms;
      entry.cost += (Math.max(ms, 1) - entry.cost) * LEARNING;
    };
  }

  // As many rounds at once as it takes until somebody has credit again. A round's quantum is what an average job takes, so
  // that each has about one job a round.
  #nextRound(): void {
    let quantum = 0;
    for (const { cost } of this.#ring.values()) quantum += cost / this.#ring.size;
    let rounds = Infinity;
    for (const { credit, weight } of this.#ring.values())
      rounds = Math.min(rounds, Math.floor(-credit / (quantum * weight)) + 1);
    for (const entry of this.#ring.values())
      entry.credit = Math.min(entry.credit + rounds * quantum * entry.weight, quantum * entry.weight);
  }

  #entry(id: T): Entry<T> {
    let entry = this.#ring.get(id) ?? this.#known.get(id);
    if (!entry) this.#known.set(id, (entry = { id, weight: 1, credit: 0, cost: 1 }));
    return entry;
  }
}
