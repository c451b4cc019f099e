import { Logger } from '@nestjs/common';
import { isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { randomToken } from '../../common/tokens.js';
import type { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { fromMessage } from '../new-event.js';
import type { ProgressMetrics } from '../progress.metrics.js';
import type { NewEvent, ProgressScripts } from '../progress.scripts.js';

const LEASE_MS = 5000;
const RENEW_MS = 1500;
const RETRY_MS = 100;
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

// What the API publishes ends with its id. Quotes inside a JSON string are escaped, so no other message can end like this.
const MIRRORED = /"id":"[a-z0-9]{1,32}-[0-9]{1,16}"\}$/;

/**
 * Takes what others publish on a project's channel into its log. Every instance listens; the one that holds the lease passes
 * each message through the script, which fences by the lease and counts the messages, so that none is logged twice.
 */
export class ProjectIngester {
  readonly #log = new Logger('ProgressIngester');
  readonly #timer: NodeJS.Timeout;
  #leave: (() => void) | undefined;
  /** The lease, while it is held. */
  #lease: { readonly token: string; ordinal: number } | undefined;
  #queue: NewEvent[] = [];
  #queuedBytes = 0;
  #pumping = false;
  #stopped = false;

  constructor(
    private readonly projectId: ProjectId,
    private readonly channel: string,
    private readonly subscriber: RedisSubscriber,
    private readonly scripts: ProgressScripts,
    private readonly metrics: ProgressMetrics,
  ) {
    this.#timer = setInterval(() => void this.#claim(), RENEW_MS).unref();
  }

  /** Resolves when this instance listens, and it or another one holds the lease. */
  async start(): Promise<void> {
    const leave = await this.subscriber.subscribe(this.channel, (message) => this.#hear(message));
    if (this.#stopped) return leave();
    this.#leave = leave;
    await this.#claim();
  }

  /** Stops listening and gives the lease back, so that another instance takes over at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#leave?.();
    const lease = this.#lease;
    this.#lost();
    if (!lease) return;
    await this.scripts.claimIngest(this.projectId, lease.token, 'return', LEASE_MS).catch(() => undefined);
  }

  // Listens first and claims then, so that the holder always listens.
  async #claim(): Promise<void> {
    if (!this.#leave || this.#stopped) return;
    const held = this.#lease;
    const token = held?.token ?? randomToken();
    try {
      const holds = await this.scripts.claimIngest(this.projectId, token, held ? 'renew' : 'take', LEASE_MS);
      if (this.#stopped) {
        if (holds && !held) await this.scripts.claimIngest(this.projectId, token, 'return', LEASE_MS);
      } else if (holds && !held) this.#lease = { token, ordinal: 0 };
      else if (!holds && held && this.#lease === held) this.#lost();
    } catch (error) {
      this.#log.debug(`lease: ${(error as Error).message}`);
    }
  }

  // Another instance may have logged what is queued here: it may be lost now, but never doubled.
  #lost(): void {
    this.#lease = undefined;
    if (this.#queue.length > 0) this.metrics.ingested.inc({ outcome: 'dropped' }, this.#queue.length);
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #hear(message: string): void {
    if (!this.#lease || MIRRORED.test(message.slice(-80))) return;
    const event = fromMessage(message);
    if (!event) return this.metrics.ingested.inc({ outcome: 'invalid' });
    if (this.#queuedBytes + event.body.length > MAX_QUEUED_BYTES) {
      return this.metrics.ingested.inc({ outcome: 'dropped' });
    }
    this.#queue.push(event);
    this.#queuedBytes += event.body.length;
    if (!this.#pumping) void this.#pump();
  }

  // One after the other, since an ordinal that is in the log proves that all before it are.
  async #pump(): Promise<void> {
    this.#pumping = true;
    for (let event = this.#queue[0]; event && this.#lease; event = this.#queue[0]) {
      const lease = this.#lease;
      const outcome = await this.#ingest(event, lease.token, lease.ordinal + 1);
      if (this.#lease !== lease) continue;
      if (outcome === 'fenced') this.#lost();
      else if (outcome !== 'again') {
        lease.ordinal += 1;
        this.#queue.shift();
        this.#queuedBytes -= event.body.length;
        this.metrics.ingested.inc({ outcome });
      }
    }
    this.#pumping = false;
  }

  async #ingest(event: NewEvent, token: string, ordinal: number): Promise<'logged' | 'dropped' | 'fenced' | 'again'> {
    try {
      return (await this.scripts.ingest(this.projectId, event, token, ordinal)) ? 'logged' : 'fenced';
    } catch (error) {
      if (!isAppError(error, 'redis_unavailable')) {
        this.#log.warn(`a message was not logged: ${(error as Error).message}`);
        return 'dropped';
      }
      // It may have been executed; the ordinal makes the repetition safe.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      return 'again';
    }
  }
}
