import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { ProjectId } from '../../common/project-id.js';
import { RedisConnections } from '../../redis/redis-connections.js';
import { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { ProgressKeys } from '../progress.keys.js';
import { ProgressMetrics } from '../progress.metrics.js';
import { ProgressScripts } from '../progress.scripts.js';
import { ProjectIngester } from './project-ingester.js';

/** How long others' messages are still taken in after the last stream of a project has ended, in ms. */
const LINGER_MS = 120_000;

interface Entry {
  readonly ingester: ProjectIngester;
  readonly ready: Promise<void>;
  users: number;
  /** Whether a stream has ever stood: one that was given up before leaves nothing behind. */
  opened: boolean;
  linger?: NodeJS.Timeout;
}

/** The ingesters of this process: one for each project of which a stream is open, or was within two minutes. */
@Injectable()
export class ProgressIngesters implements OnModuleInit, OnModuleDestroy {
  readonly #entries = new Map<ProjectId, Entry>();
  #stopListening: (() => void) | undefined;

  constructor(
    private readonly connections: RedisConnections,
    private readonly subscriber: RedisSubscriber,
    private readonly scripts: ProgressScripts,
    private readonly keys: ProgressKeys,
    private readonly metrics: ProgressMetrics,
  ) {}

  onModuleInit(): void {
    this.connections.subscriber.on('close', () => {
      for (const { ingester } of this.#entries.values()) ingester.disconnected();
    });
    this.#stopListening = this.subscriber.onReconnect(() => {
      for (const { ingester } of this.#entries.values()) ingester.reconnected();
    });
  }

  async onModuleDestroy(): Promise<void> {
    this.#stopListening?.();
    const entries = [...this.#entries.keys()];
    await Promise.allSettled(entries.map((projectId) => this.#stop(projectId)));
  }

  /** Keeps a project's messages coming in. @returns `ready`, which resolves when they do, and `release`. */
  use(projectId: ProjectId): { ready: Promise<void>; release: () => void } {
    const entry = this.#entries.get(projectId) ?? this.#start(projectId);
    entry.users += 1;
    clearTimeout(entry.linger);
    let used = true;
    return {
      ready: entry.ready.then(() => {
        if (used) entry.opened = true;
      }),
      release: () => {
        if (!used) return;
        used = false;
        entry.users -= 1;
        if (entry.users === 0) this.#idle(projectId, entry);
      },
    };
  }

  #start(projectId: ProjectId): Entry {
    const ingester = new ProjectIngester(projectId, this.keys, this.subscriber, this.scripts, this.metrics);
    const entry: Entry = { ingester, ready: ingester.start(), users: 0, opened: false };
    this.#entries.set(projectId, entry);
    // Whoever comes after a failed start gets a new one.
    entry.ready.catch(() => {
      if (this.#entries.get(projectId) === entry) void this.#stop(projectId);
    });
    return entry;
  }

  #idle(projectId: ProjectId, entry: Entry): void {
    if (this.#entries.get(projectId) !== entry) return;
    if (!entry.opened) void this.#stop(projectId);
    else entry.linger = setTimeout(() => void this.#stop(projectId), LINGER_MS).unref();
  }

  async #stop(projectId: ProjectId): Promise<void> {
    const entry = this.#entries.get(projectId);
    if (!entry) return;
    this.#entries.delete(projectId);
    clearTimeout(entry.linger);
    await entry.ingester.stop();
  }
}
