/** What an event or a snapshot says about one operation. */
interface OperationNews {
  readonly operation_id?: string;
  readonly status?: string;
  readonly stage?: string;
  readonly message?: string;
  readonly done?: number;
}

const ENDS: ReadonlySet<string | undefined> = new Set(['completed', 'failed', 'cancelled']);

/** Adds up the progress of a run's operations, one per job, from the events of the project's stream. */
export class RunProgress {
  readonly #operations = new Map<string, { readonly total: number; done: number }>();
  readonly #troubles = new Set<string>();
  #started = false;

  /** @param total chunks of the operation. */
  add(operationId: string, total: number): void {
    this.#operations.set(operationId, { total, done: 0 });
  }

  /** Whether a worker has taken up one of the jobs. */
  get started(): boolean {
    return this.#started;
  }

  /** Why attempts failed that are made again, each reason once. */
  get troubles(): readonly string[] {
    return [...this.#troubles];
  }

  /**
   * @param data of a frame: `{type, data, operation_id?}`. Events of others are passed over.
   * @returns operations of this run that say they have ended; their jobs know how.
   */
  hear(data: string): string[] {
    const event = JSON.parse(data) as { type: string; data: Record<string, unknown>; operation_id?: string };
    const news: OperationNews[] =
      event.type === '$snapshot'
        ? (event.data['operations'] as OperationNews[])
        : [{ ...event.data, ...(event.operation_id ? { operation_id: event.operation_id } : {}) }];
    return news.flatMap(({ operation_id: id, status, stage, message, done }) => {
      const operation = id === undefined ? undefined : this.#operations.get(id);
      if (id === undefined || operation === undefined) return [];
      this.#started ||= status === 'running';
      if (stage === 'retrying' && message !== undefined) this.#troubles.add(message);
      // A job that is delivered again begins anew; its chunks count once.
      if (typeof done === 'number') operation.done = Math.max(operation.done, Math.min(done, operation.total));
      return ENDS.has(status) ? [id] : [];
    });
  }

  /** The job is done, whatever was heard of it. */
  finish(operationId: string): void {
    const operation = this.#operations.get(operationId);
    if (operation) operation.done = operation.total;
  }

  get done(): number {
    return sum([...this.#operations.values()].map(({ done }) => done));
  }

  get total(): number {
    return sum([...this.#operations.values()].map(({ total }) => total));
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
