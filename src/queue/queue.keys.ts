import { Injectable } from '@nestjs/common';
import { Lru } from '../common/lru.js';
import type { ProjectId } from '../common/project-id.js';
import { sha256 } from '../common/tokens.js';
import { type Idempotency, idempotency } from '../redis/idempotency.js';
import { KeyBuilder } from '../redis/key-builder.js';

/** The keys that every script of a queue gets, by their names in the scripts. */
export type Places = Readonly<
  Record<
    | 'list'
    | 'waiting'
    | 'leases'
    | 'delayed'
    | 'retry'
    | 'dead'
    | 'size'
    | 'dedupe'
    | 'history'
    | 'wake'
    | 'purged'
    | 'settings'
    | 'hold',
    string
  >
>;

/** Key and channel names of one queue of one project; `src/queue/README.md` has their content. */
@Injectable()
export class QueueKeys {
  // Thirteen names a call: making them anew each time costs more than the call's own work.
  readonly #places = new Lru<string, Places>(10_000);

  constructor(private readonly keys: KeyBuilder) {}

  /** The waiting tasks: what other programs push to and pop from. */
  list(projectId: ProjectId, queue: string): string {
    return this.keys.key(projectId, 'queue', queue);
  }

  /** The keys that every script of a queue gets, by their names in the scripts. */
  places(projectId: ProjectId, queue: string): Places {
    const name = `${projectId}:${queue}`;
    let places = this.#places.get(name);
    if (!places) this.#places.set(name, (places = this.#make(projectId, queue)));
    return places;
  }

  #make(projectId: ProjectId, queue: string): Places {
    const key = (part: string): string => this.keys.key(projectId, 'queue', queue, part);
    return {
      list: this.list(projectId, queue),
      waiting: key('waiting'),
      leases: key('leases'),
      delayed: key('delayed'),
      retry: key('retry'),
      dead: key('dead'),
      size: key('size'),
      dedupe: key('dedupe'),
      history: key('history'),
      wake: key('wake'),
      purged: key('purged'),
      settings: this.keys.key(projectId, 'config', 'queue', queue),
      hold: key('hold'),
    };
  }

  /** What a named lease request got. */
  request(projectId: ProjectId, queue: string, requestId: string | undefined): string {
    return this.keys.key(projectId, 'queue', queue, 'request', requestId === undefined ? 'none' : sha256(requestId));
  }

  idempotency(projectId: ProjectId, header: string | undefined, body: unknown): Idempotency {
    return idempotency(this.keys, projectId, 'queue.enqueue', header, body);
  }

  /** Where work waits that is not in the list: whether one of them exists is whether somebody should look. */
  due(projectId: ProjectId, queue: string): readonly string[] {
    const { retry, delayed, leases } = this.places(projectId, queue);
    return [retry, delayed, leases];
  }
}
