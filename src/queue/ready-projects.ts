import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { ProjectScan } from '../redis/project-scan.js';
import { RedisSubscriber } from '../redis/redis-subscriber.js';
import { QueueKeys } from './queue.keys.js';
import { QueueMetrics } from './queue.metrics.js';
import { WorkSweep } from './work-sweep.js';

/** How often the lists are looked at: what others pushed, who send no wake-up. */
const LIST_MS = 900;
/** How often the rest is looked at: what becomes due by itself has a timer; this is for what a dead process knew. */
const DUE_MS = 4000;
const DISCOVERY_MS = 30_000;
const FORGET_AFTER_MS = 3_600_000;

type Listener = (projectId: ProjectId) => void;

interface Watch {
  /** Called for every project. */
  readonly listeners: Set<Listener>;
  /** Called for one project each: long polls. */
  readonly followers: Map<ProjectId, Listener>;
  /** Projects that had work, and when. */
  readonly known: Map<ProjectId, number>;
  /** Projects whose lists held something at the last look, those first that do for longest. */
  readonly busy: Set<ProjectId>;
}

/**
 * Which projects have work in a queue, for the consumers and long polls of this process. Three sources: wake-ups (at once),
 * a sweep over the projects that are known (0.9 s), and for consumers a paced background scan (at start and every 30 s;
 * finds projects never heard of). Nothing about projects is kept in Redis. It may speak for nothing, never too late.
 */
@Injectable()
export class ReadyProjects implements OnModuleDestroy {
  readonly #log = new Logger('ReadyProjects');
  readonly #watched = new Map<string, Watch>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #closing = new AbortController();
  #started: Promise<unknown> | undefined;
  #discovering = false;

  constructor(
    private readonly subscriber: RedisSubscriber,
    private readonly keys: QueueKeys,
    private readonly scan: ProjectScan,
    private readonly sweep: WorkSweep,
    private readonly metrics: QueueMetrics,
  ) {}

  /** Calls `ready` whenever any project may have work in the queue. */
  async watch(queue: string, ready: Listener): Promise<void> {
    this.#of(queue).listeners.add(ready);
    await this.#start();
    if (this.#discovering) return;
    this.#discovering = true;
    this.#every(DISCOVERY_MS, () => this.#discover(), { atOnce: true });
  }

  /** Calls `ready` whenever this project may have work in the queue. @returns the function that ends it. */
  follow(queue: string, projectId: ProjectId, ready: () => void): () => void {
    const { followers } = this.#of(queue);
    followers.set(projectId, ready);
    void this.#start();
    return () => void followers.delete(projectId);
  }

  /** @returns by queue, the projects whose lists held something at the last look, those first that do for longest. */
  *busy(): Iterable<[queue: string, projects: readonly ProjectId[]]> {
    for (const [queue, { busy }] of this.#watched) yield [queue, [...busy]];
  }

  onModuleDestroy(): void {
    this.#closing.abort();
    for (const timer of this.#timers) clearInterval(timer);
  }

  #of(queue: string): Watch {
    let watch = this.#watched.get(queue);
    if (!watch)
      this.#watched.set(
        queue,
        (watch = { listeners: new Set(), followers: new Map(), known: new Map(), busy: new Set() }),
      );
    return watch;
  }

  #start(): Promise<unknown> {
    this.#started ??= this.subscriber.onWake((projectId, queue) => {
      const watch = this.#watched.get(queue);
      if (watch) this.#meet(watch, projectId);
    });
    if (this.#timers.length === 0) {
      this.#every(LIST_MS, () => this.#sweep('list', (projectId, queue) => [this.keys.list(projectId, queue)]));
      this.#every(DUE_MS, () => this.#sweep('due', (projectId, queue) => this.keys.due(projectId, queue)));
    }
    return this.#started;
  }

  #meet(watch: Watch, projectId: ProjectId): void {
    if (watch.listeners.size > 0) watch.known.set(projectId, monotonicMs());
    for (const listener of watch.listeners) listener(projectId);
    watch.followers.get(projectId)?.(projectId);
  }

  // Each pass is skipped while the one before still runs, and a failure (Redis away) is the next pass's affair.
  #every(ms: number, work: () => Promise<void>, { atOnce = false } = {}): void {
    let running = false;
    const pass = (): void => {
      if (running) return;
      running = true;
      void work()
        .catch((error: unknown) => this.#log.debug((error as Error).message))
        .finally(() => {
          running = false;
        });
    };
    this.#timers.push(setInterval(pass, ms).unref());
    if (atOnce) pass();
  }

  async #sweep(kind: string, keys: (projectId: ProjectId, queue: string) => readonly string[]): Promise<void> {
    for (const [queue, watch] of this.#watched) {
      const projects = new Set([...watch.known.keys(), ...watch.followers.keys()]);
      if (projects.size === 0) {
        watch.busy.clear();
        continue;
      }
      const start = monotonicMs();
      const places = [...projects].map((projectId) => ({ projectId, keys: keys(projectId, queue) }));
      const found = await this.sweep.withWork(places);
      if (kind === 'list') remember(watch.busy, found);
      for (const projectId of found) this.#meet(watch, projectId);
      for (const [projectId, seen] of watch.known) if (start - seen > FORGET_AFTER_MS) watch.known.delete(projectId);
      this.metrics.swept(queue, kind, monotonicMs() - start);
    }
  }

  async #discover(): Promise<void> {
    for (const [queue, watch] of this.#watched) {
      if (watch.listeners.size === 0) continue;
      for await (const projectId of this.scan.projectsWithQueue(queue, this.#closing.signal))
        this.#meet(watch, projectId);
    }
  }
}

// Who stays keeps its place.
function remember(busy: Set<ProjectId>, found: readonly ProjectId[]): void {
  const now = new Set(found);
  for (const projectId of busy) if (!now.has(projectId)) busy.delete(projectId);
  for (const projectId of found) busy.add(projectId);
}
