import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { invalid } from '../common/validation.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { QueueKeys } from './queue.keys.js';
import { QueueRegistry } from './queue.registry.js';
import { QueueStore } from './queue.store.js';
import type { DeadLetter, QueueOrder } from './queue.types.js';

/** What an owner does with a queue: pause it, and look after its dead letters. */
@Injectable()
export class QueueAdminService {
  constructor(
    private readonly store: QueueStore,
    private readonly keys: QueueKeys,
    private readonly registry: QueueRegistry,
    private readonly gateway: RedisGateway,
  ) {}

  /** A page of dead letters, oldest first. @param cursor of the page before, or `undefined`. */
  async dead(
    projectId: ProjectId,
    queue: string,
    limit: number,
    cursor?: string,
  ): Promise<{ items: DeadLetter[]; nextCursor?: string }> {
    this.registry.get(queue);
    if (cursor !== undefined && !/^\d{1,17}$/.test(cursor))
      throw invalid('queue.dead', [{ field: 'cursor', message: 'must be a cursor of an answer' }]);
    const rows = await this.store.dead(projectId, queue, cursor ?? '-inf', limit);
    const items = rows.map(({ jobId, attempts, error, moment, raw }) => ({
      jobId,
      attempts,
      error,
      diedAt: Math.floor(Number(moment) / 1000),
      task: parseOrText(raw),
    }));
    return { items, ...(rows.length === limit ? { nextCursor: rows.at(-1)!.moment } : {}) };
  }

  /** Puts all dead letters back to the tail, with identical bytes and their attempts anew. @returns how many. */
  redrive(projectId: ProjectId, queue: string): Promise<number> {
    return this.#all(projectId, queue, (limit) => this.store.redrive(projectId, queue, limit));
  }

  /** Removes all dead letters. @returns how many. */
  dropDead(projectId: ProjectId, queue: string): Promise<number> {
    return this.#all(projectId, queue, (limit) => this.store.dropDead(projectId, queue, limit));
  }

  /** Replaces the owner's settings of a queue but for its pause; what is left out has its default. They have no TTL. */
  async configure(
    projectId: ProjectId,
    queue: string,
    settings: { order?: QueueOrder | undefined; weight?: number | undefined },
  ): Promise<void> {
    this.registry.get(queue);
    const key = this.keys.places(projectId, queue).settings;
    const given = Object.entries(settings).filter(([, value]) => value !== undefined);
    const dropped = ['order', 'weight'].filter((name) => !given.some(([each]) => each === name));
    await Promise.all([
      ...(given.length > 0
        ? [this.gateway.call('state', 'queue.configure', (client) => client.hset(key, Object.fromEntries(given)))]
        : []),
      ...(dropped.length > 0
        ? [this.gateway.call('state', 'queue.configure', (client) => client.hdel(key, ...dropped))]
        : []),
    ]);
  }

  /** Stops leasing until {@link resume}; jobs are still accepted. An owner's setting: it has no TTL. */
  async pause(projectId: ProjectId, queue: string): Promise<void> {
    this.registry.get(queue);
    const key = this.keys.places(projectId, queue).settings;
    await this.gateway.call('state', 'queue.pause', (client) => client.hset(key, 'paused', 1));
  }

  async resume(projectId: ProjectId, queue: string): Promise<void> {
    this.registry.get(queue);
    const { wake } = this.keys.places(projectId, queue);
    await this.gateway.call('state', 'queue.resume', (client) =>
      client.hdel(this.keys.places(projectId, queue).settings, 'paused'),
    );
    await this.gateway.call('state', 'queue.resume', (client) => client.publish(wake, ''));
  }

  // Scripts are bounded to 100 jobs; what dies meanwhile is left for the next call.
  async #all(projectId: ProjectId, queue: string, batch: (limit: number) => Promise<number>): Promise<number> {
    this.registry.get(queue);
    let left = (await this.store.counts(projectId, queue)).dead;
    let total = 0;
    while (left > 0) {
      const done = await batch(Math.min(left, 100));
      if (done === 0) break;
      total += done;
      left -= done;
    }
    return total;
  }
}

function parseOrText(raw: string): unknown {
  try {
    return JSON.parse(raw) as unknown;
  } catch {
    return raw.slice(0, 1000);
  }
}
