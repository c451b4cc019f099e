import { Logger } from '@nestjs/common';
import { isAppError } from '../../common/app-error.js';
import type { ProjectId } from '../../common/project-id.js';
import { monotonicMs } from '../../common/time.js';
import { randomToken } from '../../common/tokens.js';
import type { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { fromMessage } from '../new-event.js';
import type { ProgressKeys } from '../progress.keys.js';
import type { ProgressMetrics } from '../progress.metrics.js';
import type { ProgressScripts } from '../progress.scripts.js';
import { HeardMessages } from './heard-messages.js';

const LEASE_MS = 5000;
const RENEW_MS = 1500;
const TICK_MS = 250;
const RETRY_MS = 100;
/** One that could go on without a loss goes first. */
const GIVE_WAY_MS = 1000;

// What the API publishes ends with its id. Quotes inside a JSON string are escaped, so no other message can end like this.
const MIRRORED = /"id":"[a-z0-9]{1,32}-[0-9]{1,16}"\}$/;

/**
 * Takes what others publish on a project's channel into its log. Every instance listens and keeps what is not logged yet; the
 * one that holds the lease passes each message through the script, which fences by the lease and by the message's place.
 * When the holder is gone, one that heard everything since a mark goes on where it stopped; any other begins with its own mark.
 */
export class ProjectIngester {
  readonly #log = new Logger('ProgressIngester');
  readonly #token = randomToken();
  readonly #heard = new HeardMessages();
  readonly #timer: NodeJS.Timeout;
  #leave: (() => void)[] = [];
  #holds = false;
  #claiming = false;
  /** Whether nothing that is published is missed, so that a mark can be counted from. */
  #connected = false;
  /** When the lease is to be claimed or renewed, by the monotonic clock. */
  #claimAt = 0;
  #pumping = false;
  #stopped = false;

  constructor(
    private readonly projectId: ProjectId,
    private readonly keys: ProgressKeys,
    private readonly subscriber: RedisSubscriber,
    private readonly scripts: ProgressScripts,
    private readonly metrics: ProgressMetrics,
  ) {
    this.#timer = setInterval(() => {
      if (this.#connected && monotonicMs() >= this.#claimAt) void this.#claim();
    }, TICK_MS).unref();
  }

  /** Resolves when this instance listens, and it or another one holds the lease. */
  async start(): Promise<void> {
    // The messages first: from the first mark on, none may be missed.
    await this.#listen(this.keys.channel(this.projectId), (message) => this.#hear(message));
    await this.#listen(this.keys.seqChannel(this.projectId), (message) => this.#hearSign(message));
    this.#connected = true;
    await this.#claim();
  }

  /** Stops listening and gives the lease back, so that another instance takes over at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const leave of this.#leave) leave();
    await this.#giveUp();
  }

  /** The subscriber connection is gone: one that still hears is better at this. */
  disconnected(): void {
    this.#connected = false;
    this.#heard.lose();
    void this.#giveUp();
  }

  /** It is back, and all channels are subscribed. */
  reconnected(): void {
    if (this.#leave.length < 2) return;
    this.#connected = true;
    void this.#claim();
  }

  async #listen(channel: string, listener: (message: string) => void): Promise<void> {
    const leave = await this.subscriber.subscribe(channel, listener);
    if (this.#stopped) leave();
    else this.#leave.push(leave);
  }

  async #giveUp(): Promise<void> {
    if (!this.#holds && !this.#claiming) return;
    this.#holds = false;
    await this.scripts.returnIngest(this.projectId, this.#token).catch(() => undefined);
  }

  async #claim(): Promise<void> {
    if (this.#stopped || this.#claiming) return;
    this.#claiming = true;
    this.#claimAt = monotonicMs() + RENEW_MS;
    try {
      const lease = await this.scripts.holdIngest(this.projectId, this.#token, LEASE_MS);
      if (lease && (this.#stopped || !this.#connected)) await this.#giveUp();
      else if (lease && !this.#holds) {
        this.#holds = true;
        this.#heard.takeOver(lease.line, lease.logged);
        void this.#pump();
      } else if (!lease) this.#holds = false;
    } catch (error) {
      this.#log.debug(`lease: ${(error as Error).message}`);
    } finally {
      this.#claiming = false;
    }
  }

  #hearSign(message: string): void {
    const now = monotonicMs();
    if (message === 'free') this.#claimAt = now + (this.#heard.aligned ? 0 : GIVE_WAY_MS);
    if (message === 'free' && this.#heard.aligned) void this.#claim();
    if (!message.startsWith('mark ') || !this.#connected) return;
    const [, line, mark, loggedMark, loggedIndex] = message.split(' ');
    this.#heard.align(line!, Number(mark));
    if (this.#holds) return;
    this.#heard.forget({ mark: Number(loggedMark), index: Number(loggedIndex) });
    this.#claimAt = now + LEASE_MS;
  }

  #hear(message: string): void {
    const place = this.#heard.next();
    if (MIRRORED.test(message.slice(-80))) return;
    const event = fromMessage(message);
    if (!event) {
      if (this.#holds) this.metrics.ingested.inc({ outcome: 'invalid' });
    } else if (!place || !this.#heard.keep(place, event, this.#holds)) {
      // Nobody else can tell where it stands, or Redis has been away for too long.
      if (this.#holds) this.metrics.ingested.inc({ outcome: 'dropped' });
    } else if (this.#holds && !this.#pumping) void this.#pump();
  }

  // One after the other, since a place that is logged proves that all before it are.
  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let message = this.#heard.first; message && this.#holds; message = this.#heard.first) {
      let outcome: 'logged' | 'dropped' | undefined;
      try {
        if (await this.scripts.ingest(this.projectId, message.event, this.#token, message.place)) outcome = 'logged';
        else this.#holds = false;
      } catch (error) {
        if (isAppError(error, 'redis_unavailable')) {
          // It may have been executed; its place makes the repetition safe.
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
          continue;
        }
        this.#log.warn(`a message was not logged: ${(error as Error).message}`);
        outcome = 'dropped';
      }
      if (!outcome) break;
      this.#heard.forget(message.place);
      this.metrics.ingested.inc({ outcome });
    }
    this.#pumping = false;
  }
}
