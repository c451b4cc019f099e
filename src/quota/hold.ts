import { concatMap, defer, finalize, from, map, type MonoTypeOperatorFunction, type Observable, takeWhile } from 'rxjs';
import { isAppError } from '../common/app-error.js';

/** The steps of one reservation. */
export interface Held {
  extend(used: number): Promise<{ goOn: boolean }>;
  commit(used: number): Promise<{ charged: number; overrun: number }>;
  release(): Promise<void>;
}

/**
 * A reservation for work that may be aborted at any moment. However its block is left, by its end, an error or a client that
 * went away, it is charged the input and what was delivered: what {@link use} was told.
 *
 * ```ts
 * await using hold = await reservations.hold(projectId, 'llm_tokens', 4000, { input: prompt.tokens });
 * for await (const chunk of model.stream(prompt)) if (!(await hold.use(chunk.tokens))) break;
 * ```
 *
 * Where Redis is away at the end, the hold's expiry charges what was last reported.
 */
export class Hold implements AsyncDisposable {
  #used: number;
  #reported = 0;
  #goOn = true;
  #settled: Promise<unknown> | undefined;

  constructor(
    readonly id: string,
    private readonly held: Held,
    input: number,
    private readonly every: number,
  ) {
    this.#used = input;
  }

  /** Input and what was delivered so far. */
  get used(): number {
    return this.#used;
  }

  /**
   * Counts what was delivered, and reports it when it has grown enough. Await it before going on.
   * @returns whether to go on: not when the project has no more, or the hold is over.
   */
  async use(amount: number): Promise<boolean> {
    this.#used += amount;
    if (this.#goOn && this.#used - this.#reported >= this.every) {
      this.#reported = this.#used;
      this.#goOn = (await this.held.extend(this.#used)).goOn;
    }
    return this.#goOn;
  }

  /** Charges the true amount, where it is known after all: from the last chunk of a provider. */
  async commit(used = this.#used): Promise<{ charged: number; overrun: number }> {
    const committed = this.held.commit(used);
    this.#settled = committed;
    return committed;
  }

  /** Charges nothing: for work that never began. */
  async release(): Promise<void> {
    await (this.#settled = this.held.release());
  }

  /** Charges what was used, unless it was settled. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await (this.#settled ?? this.commit());
    } catch (error) {
      if (!isAppError(error, 'redis_unavailable')) throw error;
    }
  }
}

/**
 * Meters a stream: reserves when it is subscribed to, counts each value, ends it when the project has no more, and charges what
 * was delivered when it ends, fails or is unsubscribed from, as Nest does when the client of `@Sse()` goes away.
 * @param reserve makes the hold: `() => reservations.hold(…)`.
 * @param amountOf what a value costs.
 */
export function metered<T>(reserve: () => Promise<Hold>, amountOf: (value: T) => number): MonoTypeOperatorFunction<T> {
  return (source: Observable<T>) =>
    defer(() => {
      let left = false;
      const reserved = reserve().then(async (hold) => {
        // Nobody is there any more to whom it could be delivered.
        if (left) await hold.release();
        return hold;
      });
      return from(reserved).pipe(finalize(() => (left = true)));
    }).pipe(
      concatMap((hold) =>
        source.pipe(
          concatMap((value) => from(hold.use(amountOf(value))).pipe(map((goOn) => ({ value, goOn })))),
          // The value itself is used already: it is the last one.
          takeWhile(({ goOn }) => goOn, true),
          map(({ value }) => value),
          finalize(() => {
            // What fails here the expiry of the hold settles, by what was reported.
            hold[Symbol.asyncDispose]().catch(() => undefined);
          }),
        ),
      ),
    );
}
