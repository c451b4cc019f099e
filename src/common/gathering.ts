interface Call<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

interface Group<Item, Answer> {
  readonly calls: Call<Item, Answer>[];
  weight: number;
}

/**
 * Answers the calls that are made in one turn of the event loop together, group by group and in their order: where many
 * wait for the same server they come in bursts, since their former answers came in one read. Nobody waits for others.
 */
export class Gathering<Item, Answer> {
  readonly #groups = new Map<string, Group<Item, Answer>>();

  /**
   * @param weigh the share of one batch that an item takes. What fills a batch is answered at once: so the server works
   *   on the beginning of a burst while its end is still being prepared.
   * @param answer one answer for each item; a rejection is that of each.
   * @param asked called when batches were handed over: once for all that are left at the end of the turn.
   */
  constructor(
    private readonly weigh: (item: Item) => number,
    private readonly answer: (items: readonly Item[]) => Promise<readonly Answer[]>,
    private readonly asked: () => void = () => undefined,
  ) {}

  ask(name: string, item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const weight = this.weigh(item);
      let group = this.#groups.get(name);
      if (group && group.weight + weight > 1) group = this.#sendNow(name, group);
      if (!group) {
        if (this.#groups.size === 0) setImmediate(() => this.#rest());
        this.#groups.set(name, (group = { calls: [], weight: 0 }));
      }
      group.calls.push({ item, resolve, reject });
      group.weight += weight;
      if (group.weight >= 1) this.#sendNow(name, group);
    });
  }

  #rest(): void {
    for (const [name, group] of this.#groups) this.#send(name, group);
    this.asked();
  }

  #sendNow(name: string, group: Group<Item, Answer>): undefined {
    this.#send(name, group);
    this.asked();
  }

  #send(name: string, { calls }: Group<Item, Answer>): void {
    this.#groups.delete(name);
    this.answer(calls.map(({ item }) => item)).then(
      (answers) => calls.forEach(({ resolve }, i) => resolve(answers[i]!)),
      (error: unknown) => calls.forEach(({ reject }) => reject(error)),
    );
  }
}
