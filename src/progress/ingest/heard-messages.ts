import type { NewEvent, Place } from '../progress.scripts.js';

const MAX_BYTES = 4 * 1024 * 1024;

/** A message, and where it stands. */
export interface HeardMessage {
  readonly place: Place;
  readonly event: NewEvent;
}

/**
 * What this instance heard and does not know to be logged. All instances hear messages and marks in the same order, so those
 * that count from the same mark give a message the same place.
 */
export class HeardMessages {
  #line: string | undefined;
  /** Place of the last message; `undefined` when something may have been missed since the last mark. */
  #place: Place | undefined;
  #messages: HeardMessage[] = [];
  #bytes = 0;

  /** Whether everything since some mark was heard. */
  get aligned(): boolean {
    return this.#place !== undefined;
  }

  /** The oldest message. */
  get first(): HeardMessage | undefined {
    return this.#messages[0];
  }

  /** Counts from a mark. */
  align(line: string, mark: number): void {
    if (line !== this.#line) this.#clear();
    this.#line = line;
    this.#place = { mark, index: 0 };
  }

  /** Something may have been missed: what comes has no place before the next mark. */
  lose(): void {
    this.#place = undefined;
  }

  /** @returns the place of the message that is heard now, if it has one. */
  next(): Place | undefined {
    this.#place &&= { mark: this.#place.mark, index: this.#place.index + 1 };
    return this.#place;
  }

  /** @param newest which one to give up when there are too many: this one, or the oldest. @returns whether it was kept. */
  keep(place: Place, event: NewEvent, newest: boolean): boolean {
    if (newest && this.#bytes > MAX_BYTES) return false;
    this.#messages.push({ place, event });
    this.#bytes += event.body.length;
    while (this.#bytes > MAX_BYTES && !newest) this.#bytes -= this.#messages.shift()!.event.body.length;
    return true;
  }

  /** Drops what is logged: everything up to a place. */
  forget({ mark, index }: Place): void {
    const left = this.#messages.findIndex(
      ({ place }) => place.mark > mark || (place.mark === mark && place.index > index),
    );
    const logged = this.#messages.splice(0, left < 0 ? this.#messages.length : left);
    for (const { event } of logged) this.#bytes -= event.body.length;
  }

  /** The lease is ours now: what was logged, and what was heard in another line of marks, is not ours to log. */
  takeOver(line: string, logged: Place): void {
    if (line !== this.#line) {
      this.#clear();
      this.#line = line;
      this.#place = undefined;
    }
    this.forget(logged);
  }

  #clear(): void {
    this.#messages = [];
    this.#bytes = 0;
  }
}
