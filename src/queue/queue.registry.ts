import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { isName } from '../common/names.js';
import type { QueueOrder } from './queue.types.js';

/** A queue that a module declares. */
export interface QueueDeclaration {
  /** Name of the queue, the same in all projects. */
  readonly name: string;
  /** Class with class-validator rules for a task, without its `project_id`. */
  readonly task: new () => object;
  /** Unless a project's owner sets another. Default `relaxed`. */
  readonly order?: QueueOrder;
}

/** The queues that exist: each module declares its own when it starts. */
@Injectable()
export class QueueRegistry {
  readonly #queues = new Map<string, QueueDeclaration>();

  /** @throws Error when the name is taken, or is no name. */
  declare(queue: QueueDeclaration): void {
    if (!isName(queue.name)) throw new Error(`not a queue name: ${queue.name}`);
    if (this.#queues.has(queue.name)) throw new Error(`the queue ${queue.name} is declared twice`);
    this.#queues.set(queue.name, queue);
  }

  /** @throws AppError `not_found` for a queue that no module declared. */
  get(name: string): QueueDeclaration {
    const queue = this.#queues.get(name);
    if (!queue) throw new AppError('not_found', 'queue', 'There is no such queue.');
    return queue;
  }

  get names(): readonly string[] {
    return [...this.#queues.keys()].sort();
  }
}
