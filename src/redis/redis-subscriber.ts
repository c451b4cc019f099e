import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { CALL_TIMEOUT_MS } from './connection-options.js';
import { withDeadline } from './deadline.js';
import { KeyBuilder } from './key-builder.js';
import { type RedisClient, RedisConnections } from './redis-connections.js';
import { mapRedisError } from './redis-errors.js';

const PROBE_EVERY_MS = 1000;

type Listener = (message: string) => void;

interface Channel {
  readonly listeners: Set<Listener>;
  /** Settles when Redis acknowledged the subscription for the first time. */
  readonly acknowledged: Promise<void>;
  readonly acknowledge: () => void;
}

/**
 * Pub/sub of the process over its one subscriber connection, reference-counted by channel.
 *
 * Messages published while the connection is away are lost, as pub/sub is; whoever must not miss any registers with
 * {@link onReconnect}, which is called when all channels are subscribed again, and repairs from its own log.
 */
@Injectable()
export class RedisSubscriber implements OnModuleInit, OnModuleDestroy {
  readonly #log = new Logger('RedisSubscriber');
  readonly #channels = new Map<string, Channel>();
  readonly #wakeListeners = new Set<(projectId: ProjectId, queue: string) => void>();
  readonly #reconnectListeners = new Set<() => void>();
  readonly #client: RedisClient;
  #probe: NodeJS.Timeout | undefined;

  constructor(
    connections: RedisConnections,
    private readonly keys: KeyBuilder,
  ) {
    this.#client = connections.subscriber;
  }

  onModuleInit(): void {
    this.#client.on('message', (channel: string, message: string) => {
      for (const listener of this.#channels.get(channel)?.listeners ?? []) this.#tell(() => listener(message));
    });
    this.#client.on('pmessage', (_pattern: string, channel: string) => {
      const wake = this.keys.parseWake(channel);
      if (!wake) return;
      for (const listener of this.#wakeListeners) this.#tell(() => listener(wake.projectId, wake.queue));
    });
    this.#client.on('ready', () => void this.#resubscribe());
    // A half-open link never reports itself: a question that is not answered ends it (see `half-open.ts`).
    this.#probe = setInterval(() => {
      if (this.#client.status === 'ready') void this.#send(() => this.#client.ping());
    }, PROBE_EVERY_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.#probe);
  }

  /**
   * Hears a channel. @returns, once Redis has acknowledged (so that nothing published from now on is missed while the
   * connection stands), the function that ends it.
   * @throws AppError `redis_unavailable` when Redis does not acknowledge in time; the listener is then not registered.
   */
  async subscribe(name: string, listener: Listener): Promise<() => void> {
    const channel = this.#channels.get(name) ?? this.#open(name);
    channel.listeners.add(listener);
    const leave = (): void => {
      if (!channel.listeners.delete(listener) || channel.listeners.size > 0) return;
      this.#channels.delete(name);
      void this.#send(() => this.#client.unsubscribe(name));
    };
    try {
      await withDeadline(() => channel.acknowledged, CALL_TIMEOUT_MS);
      return leave;
    } catch (error) {
      leave();
      throw mapRedisError(error, 'redis.subscribe');
    }
  }

  /** Hears the queue wake-ups of all projects: the one pattern subscription that the contract allows. */
  async onWake(listener: (projectId: ProjectId, queue: string) => void): Promise<() => void> {
    this.#wakeListeners.add(listener);
    if (this.#wakeListeners.size === 1) await this.#send(() => this.#client.psubscribe(this.keys.wakePattern));
    return () => void this.#wakeListeners.delete(listener);
  }

  /** Called each time the connection came back and all channels are subscribed again. @returns the function that ends it. */
  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => void this.#reconnectListeners.delete(listener);
  }

  /** Number of channels that are subscribed or being subscribed. */
  get channelCount(): number {
    return this.#channels.size;
  }

  #open(name: string): Channel {
    let acknowledge = (): void => undefined;
    const acknowledged = new Promise<void>((resolve) => {
      acknowledge = resolve;
    });
    const channel: Channel = { listeners: new Set(), acknowledged, acknowledge };
    this.#channels.set(name, channel);
    void this.#send(() => this.#client.subscribe(name)).then((sent) => sent && acknowledge());
    return channel;
  }

  async #resubscribe(): Promise<void> {
    const names = [...this.#channels.keys()];
    const sent = await this.#send(async () => {
      if (this.#wakeListeners.size > 0) await this.#client.psubscribe(this.keys.wakePattern);
      for (let i = 0; i < names.length; i += 500) await this.#client.subscribe(...names.slice(i, i + 500));
    });
    if (!sent) return;
    for (const name of names) this.#channels.get(name)?.acknowledge();
    for (const listener of this.#reconnectListeners) this.#tell(listener);
  }

  // A failed SUBSCRIBE means a lost connection: the next 'ready' sends all of them again.
  async #send(command: () => Promise<unknown>): Promise<boolean> {
    try {
      await command();
      return true;
    } catch (error) {
      this.#log.debug(`subscriber: ${(error as Error).message}`);
      return false;
    }
  }

  // One listener that throws must neither end the process nor keep the others from hearing.
  #tell(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#log.error({ msg: 'a listener failed', err: (error as Error).stack });
    }
  }
}
