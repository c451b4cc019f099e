import { Injectable } from '@nestjs/common';
import { Stopping } from '../common/stopping.js';
import { RedisConnections } from '../redis/redis-connections.js';
import { type ServerFacts, ServerProbe } from './server-probe.js';

export type Health = 'ok' | 'degraded' | 'down';

/** How one connection of the product is. `facts` is missing when the server did not answer. */
export interface RoleHealth {
  readonly status: Health;
  /** Why it is not `ok`: for people; names no host, no URL and no secret. */
  readonly reason?: string;
  readonly facts?: ServerFacts;
}

export interface ReadinessReport {
  readonly status: Health;
  readonly reason?: string;
  readonly state: RoleHealth;
  readonly cache: RoleHealth;
  readonly subscriber: RoleHealth;
}

/**
 * Whether this process can serve. Without the state server it cannot (`down`); without the cache server or the subscriber a
 * part of it cannot, and all the rest works (`degraded`).
 */
@Injectable()
export class Readiness {
  readonly #state: ServerProbe;
  readonly #cache: ServerProbe | undefined;

  constructor(
    private readonly connections: RedisConnections,
    private readonly stopping: Stopping,
  ) {
    this.#state = new ServerProbe(connections.state);
    this.#cache = connections.separateCache ? new ServerProbe(connections.cache) : undefined;
  }

  /** Answers within 100 ms, whatever Redis does. Where one server does everything, `cache` says the same as `state`. */
  async report(): Promise<ReadinessReport> {
    const [stateFacts, cacheFacts] = await Promise.all([this.#state.facts(), this.#cache?.facts()]);
    const state = ofState(stateFacts);
    const cache = this.#cache ? ofServer(cacheFacts) : state;
    const subscriber = this.#ofSubscriber();
    if (this.stopping.signal.aborted) return { status: 'down', reason: 'stopping', state, cache, subscriber };
    const allOk = [state, cache, subscriber].every(({ status }) => status === 'ok');
    return { status: state.status === 'down' ? 'down' : allOk ? 'ok' : 'degraded', state, cache, subscriber };
  }

  #ofSubscriber(): RoleHealth {
    return this.connections.subscriber.status === 'ready'
      ? { status: 'ok' }
      : { status: 'down', reason: 'not connected: live progress and wake-ups are late' };
  }
}

function ofServer(facts: ServerFacts | undefined): RoleHealth {
  if (!facts) return { status: 'down', reason: 'no answer in time' };
  if (facts.loading) return { status: 'down', reason: 'it still loads its data', facts };
  if (facts.replica) return { status: 'down', reason: 'it is a replica and refuses writes', facts };
  if (!facts.persisting) return { status: 'degraded', reason: 'it cannot persist its data', facts };
  return { status: 'ok', facts };
}

function ofState(facts: ServerFacts | undefined): RoleHealth {
  const health = ofServer(facts);
  if (health.status !== 'ok' || !facts || facts.evictionPolicy === 'noeviction') return health;
  return {
    status: 'degraded',
    reason: `it may evict jobs, sessions and limits: maxmemory-policy is ${facts.evictionPolicy}, not noeviction`,
    facts,
  };
}
