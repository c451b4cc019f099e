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
 * wait for the same server they come in bursts, since their former answers came in one read. A call alone waits for nothing,
 * and a batch goes when it is half of the calls without an answer: so the server works on it while the other half is prepared.
 */
export class Gathering<Item, Answer> {
  readonly #groups = new Map<string, Group<Item, Answer>>();
  readonly #unanswered = new Map<string, number>();

  /**
   * @param weigh the share of the largest batch that an item takes.
   * @param answer one answer for each item; a rejection is that of each.
   * @param asked called when a batch of several calls was handed over: it is worth a write of its own.
   */
  constructor(
    private readonly weigh: (item: Item) => number,
    private readonly answer: (items: readonly Item[]) => Promise<readonly Answer[]>,
    private readonly asked: () => void = () => undefined,
  ) {}

  ask(name: string, item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const weight = this.weigh(item);
      const unanswered = (this.#unanswered.get(name) ?? 0) + 1;
      this.#unanswered.set(name, unanswered);
      let group = this.#groups.get(name);
      if (group && group.weight + weight > 1) group = this.#send(name, group);
      if (!group) this.#groups.set(name, (group = { calls: [], weight: 0 }));
      const waiting = group.calls.push({ item, resolve, reject });
      group.weight += weight;
      if (group.weight >= 1 || waiting * 2 >= unanswered) this.#send(name, group);
      else if (waiting === 1) setImmediate(() => this.#rest());
    });
  }

  #rest(): void {
    for (const [name, group] of this.#groups) this.#send(name, group);
  }

  #send(name: string, { calls }: Group<Item, Answer>): undefined {
    this.#groups.delete(name);
    this.answer(calls.map(({ item }) => item)).then(
      (answers) => {
        this.#answered(name, calls.length);
        calls.forEach(({ resolve }, i) => resolve(answers[i]!));
      },
      (error: unknown) => {
        this.#answered(name, calls.length);
        calls.forEach(({ reject }) => reject(error));
      },
    );
    if (calls.length > 1) this.asked();
  }

  #answered(name: string, calls: number): void {
    const rest = this.#unanswered.get(name)! - calls;
    if (rest > 0) this.#unanswered.set(name, rest);
    else this.#unanswered.delete(name);
  }
}
