import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { KeyBuilder } from './key-builder.js';
import { type RedisClient, RedisConnections } from './redis-connections.js';

const PROBE_EVERY_MS = 5000;
const PROBE_TIMEOUT_MS = 2000;

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
      for (const listener of this.#channels.get(channel)?.listeners ?? []) listener(message);
    });
    this.#client.on('pmessage', (_pattern: string, channel: string) => {
      const wake = this.keys.parseWake(channel);
      if (wake) for (const listener of this.#wakeListeners) listener(wake.projectId, wake.queue);
    });
    this.#client.on('ready', () => void this.#resubscribe());
    this.#probe = setInterval(() => void this.#ping(), PROBE_EVERY_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.#probe);
  }

  /**
   * Hears a channel. @returns, once Redis has acknowledged (so that nothing published from now on is missed while the
   * connection stands), the function that ends it.
   */
  async subscribe(name: string, listener: Listener): Promise<() => void> {
    let channel = this.#channels.get(name);
    if (!channel) {
      let acknowledge = (): void => undefined;
      const acknowledged = new Promise<void>((resolve) => {
        acknowledge = resolve;
      });
      channel = { listeners: new Set(), acknowledged, acknowledge };
      this.#channels.set(name, channel);
      this.#send(() => this.#client.subscribe(name)).then((sent) => sent && acknowledge());
    }
    channel.listeners.add(listener);
    const joined = channel;
    await joined.acknowledged;
    return () => {
      if (!joined.listeners.delete(listener) || joined.listeners.size > 0 || this.#channels.get(name) !== joined)
        return;
      this.#channels.delete(name);
      void this.#send(() => this.#client.unsubscribe(name));
    };
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

  async #resubscribe(): Promise<void> {
    const names = [...this.#channels.keys()];
    const sent = await this.#send(async () => {
      if (this.#wakeListeners.size > 0) await this.#client.psubscribe(this.keys.wakePattern);
      for (let i = 0; i < names.length; i += 500) await this.#client.subscribe(...names.slice(i, i + 500));
    });
    if (!sent) return;
    for (const name of names) this.#channels.get(name)?.acknowledge();
    for (const listener of this.#reconnectListeners) listener();
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

  // A half-open link never reports itself: ask, and start anew when no answer comes.
  async #ping(): Promise<void> {
    if (this.#client.status !== 'ready' || !('ping' in this.#client)) return;
    let timer: NodeJS.Timeout | undefined;
    const silent = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(true), PROBE_TIMEOUT_MS).unref();
    });
    const answered = this.#client.ping().then(
      () => false,
      () => false,
    );
    if (await Promise.race([answered, silent])) this.#client.disconnect(true);
    clearTimeout(timer);
  }
}
