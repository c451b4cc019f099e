import type { Cursor } from '../cursor.js';
import type { ProgressEvent } from '../progress-event.js';

const MAX_HELD = 1000;
const MAX_HELD_BYTES = 1024 * 1024;

/**
 * Joins history and live events without a gap or a repetition. One source is heard all the time; while history is read up
 * to some place, what is heard is held back, and then everything after that place follows, if it follows without a hole.
 */
export class Continuity {
  /** The last event that was given out. */
  position: Cursor | undefined;
  #held: ProgressEvent[] | undefined = [];
  #heldBytes = 0;
  #broken = false;

  /** Whether events are given out as they are heard. */
  get live(): boolean {
    return this.#held === undefined;
  }

  /** Holds back what is heard from now on. What was held before this is contained in the history that is read next. */
  hold(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#broken = false;
  }

  /** What is heard does not follow what was heard before: history must be read again. Until {@link hold} nothing is kept. */
  break(): void {
    this.#broken = true;
    this.#held = [];
  }

  /** @returns what to do with an event that was heard: give out the `next` one; a `gap` means that history must be read. */
  judge(event: ProgressEvent): 'next' | 'gap' | 'ignore' {
    if (this.#held) {
      // What does not fit in is read from history.
      if (this.#held.length === MAX_HELD || this.#heldBytes > MAX_HELD_BYTES) this.break();
      if (this.#broken) return 'ignore';
      this.#held.push(event);
      this.#heldBytes += event.json.length;
      return 'ignore';
    }
    return this.#place(event);
  }

  /** Gives out what was held back and goes live. @returns `false` when there is a gap, and history must be read again. */
  resume(give: (event: ProgressEvent) => void): boolean {
    for (const event of this.#broken ? [] : (this.#held ?? [])) {
      const place = this.#place(event);
      if (place === 'next') give(event);
      else if (place === 'gap') this.#broken = true;
    }
    if (this.#broken) return false;
    this.#held = undefined;
    return true;
  }

  #place({ cursor }: ProgressEvent): 'next' | 'gap' | 'ignore' {
    if (cursor.epoch !== this.position?.epoch || cursor.seq > this.position.seq + 1) return 'gap';
    return cursor.seq === this.position.seq + 1 ? 'next' : 'ignore';
  }
}
