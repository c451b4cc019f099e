interface Call<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Answers the calls that are made in one turn of the event loop together, group by group and in their order: where many
 * wait for the same server they come in bursts, since their former answers came in one read. Nobody waits for others.
 */
export class Gathering<Item, Answer> {
  readonly #groups = new Map<string, Call<Item, Answer>[]>();

  /**
   * @param weigh the share of one batch that an item takes; a batch holds items up to 1, or one that is heavier.
   * @param answer one answer for each item; a rejection is that of each.
   */
  constructor(
    private readonly weigh: (item: Item) => number,
    private readonly answer: (items: readonly Item[]) => Promise<readonly Answer[]>,
  ) {}

  ask(group: string, item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      // After the microtasks: each of a burst of answers has led to its next call by then.
      if (this.#groups.size === 0) process.nextTick(() => this.#flush());
      const calls = this.#groups.get(group);
      if (calls) calls.push({ item, resolve, reject });
      else this.#groups.set(group, [{ item, resolve, reject }]);
    });
  }

  #flush(): void {
    const groups = [...this.#groups.values()];
    this.#groups.clear();
    for (const calls of groups) {
      let from = 0;
      let weight = 0;
      calls.forEach(({ item }, i) => {
        const more = this.weigh(item);
        if (i > from && weight + more > 1) {
          this.#send(calls.slice(from, i));
          from = i;
          weight = 0;
        }
        weight += more;
      });
      this.#send(from === 0 ? calls : calls.slice(from));
    }
  }

  #send(calls: readonly Call<Item, Answer>[]): void {
    this.answer(calls.map(({ item }) => item)).then(
      (answers) => calls.forEach(({ resolve }, i) => resolve(answers[i]!)),
      (error: unknown) => calls.forEach(({ reject }) => reject(error)),
    );
  }
}
