import { hash } from 'node:crypto';
import { Gathering } from '../common/gathering.js';
import { randomToken } from '../common/tokens.js';
import type { AppConfig } from '../config/app-config.js';
import type { ScriptRunner } from '../redis/script-runner.js';
import type { Places } from './queue.keys.js';
import {
  type Ack,
  type AckedAndLeased,
  type Ending,
  ending,
  ackArgs,
  type LeasedReply,
  type LeaseReply,
  leaseReply,
  type LeaseRequest,
  type RawJob,
} from './queue.replies.js';
import { ackAndLease, ackJobs, enqueuePlain, leaseHead } from './queue.scripts.js';

/** At this many dead letters a queue of a project is parked, until a person looks. */
export const MAX_DEAD = 10_000;
/** What a script may bring or take at once, in characters: it should not hold Redis for long. */
const BATCH_CHARS = 262_144;
/** So many calls share a script at most: it should not hold Redis for long. */
const CALLS = 8;
/** So many calls do not try a short script after it could do nothing. */
const DETOUR = 16;
const ASK_WHOLE = 0;
const FULL = 2;

interface Added {
  readonly places: Places;
  readonly jobs: readonly RawJob[];
  readonly ids: readonly string[];
}

interface Done {
  readonly places: Places;
  readonly asked: LeaseRequest;
  readonly ack: Ack;
}

/**
 * The short scripts: the usual case of a queue, of all calls of one turn at once. Each call says `undefined` when nothing was
 * done, and the whole script must be asked.
 */
export class QueueShortcuts {
  readonly #detours = new WeakMap<Places, number>();
  readonly #adding = new Gathering<Added, boolean | undefined>(
    ({ jobs }) =>
      Math.max(1 / CALLS, jobs.length / 100, jobs.reduce((sum, { raw }) => sum + raw.length, 0) / BATCH_CHARS),
    (items) => this.#add(items),
    () => this.runner.flush('state'),
  );
  readonly #acking = new Gathering<{ places: Places; ack: Ack }, Ending>(
    ({ ack }) => Math.max(1 / CALLS, ack.result.length / BATCH_CHARS),
    (items) =>
      this.#ack(
        items[0]!.places,
        items.map(({ ack }) => ack),
      ),
    () => this.runner.flush('state'),
  );
  readonly #going = new Gathering<Done, AckedAndLeased | undefined>(
    ({ asked, ack }) => Math.max(1 / CALLS, asked.max / 10, ack.result.length / BATCH_CHARS),
    (items) => this.#ackAndLeaseEach(items),
    () => this.runner.flush('state'),
  );

  constructor(
    private readonly runner: ScriptRunner,
    private readonly config: AppConfig,
  ) {}

  /** @returns whether there was room. */
  async enqueue(places: Places, jobs: readonly RawJob[], ids: readonly string[]): Promise<boolean | undefined> {
    if (jobs.some((job) => job.delayMs > 0 || job.dedupe !== '')) return undefined;
    return this.#adding.ask(places.list, { places, jobs, ids });
  }

  async lease(places: Places, asked: LeaseRequest): Promise<LeaseReply | undefined> {
    if (!this.#straight(places, asked)) return undefined;
    const token = randomToken();
    const args = { ...this.bounds(asked, token), wanted: asked.max };
    const asking = this.runner.run(leaseHead, { keys: places, args });
    const reply = await (asked.max > 1 ? this.#begin(asking) : asking);
    if (reply === ASK_WHOLE) return this.#detour(places);
    return leaseReply(token, reply as LeasedReply);
  }

  ackOne(places: Places, ack: Ack): Promise<Ending> {
    return this.#acking.ask(places.list, { places, ack });
  }

  ack(places: Places, acks: readonly Ack[]): Promise<Ending[]> {
    return this.#begin(this.#ack(places, acks));
  }

  /** @returns no `lease` when all tokens are stale. */
  async ackAndLease(places: Places, asked: LeaseRequest, acks: readonly Ack[]): Promise<AckedAndLeased | undefined> {
    if (!this.#straight(places, asked)) return undefined;
    if (acks.length > 1) return this.#begin(this.#ackAndLease(places, asked, acks, asked.max));
    return this.#going.ask(`${asked.max} ${asked.leaseMs} ${places.list}`, { places, asked, ack: acks[0]! });
  }

  bounds({ leaseMs }: LeaseRequest, token: string) {
    return { token, lease_ms: leaseMs, max_leased: this.config.QUEUE_MAX_LEASED, max_dead: MAX_DEAD };
  }

  async #ack(places: Places, acks: readonly Ack[]): Promise<Ending[]> {
    const reply = await this.runner.run(ackJobs, { keys: places, args: { acks: ackArgs(acks) } });
    return (reply as string[]).map(ending);
  }

  async #add(items: readonly Added[]): Promise<(boolean | undefined)[]> {
    const jobs: (string | number)[] = [];
    for (const item of items) {
      // The SHA-1 as redis.sha1hex makes it: what a task of others is compared with.
      item.jobs.forEach((job, i) =>
        jobs.push(hash('sha1', job.raw) + item.ids[i]!, job.raw, job.maxAttempts, job.operationId),
      );
    }
    const { QUEUE_MAX_JOBS: max_jobs, QUEUE_MAX_BYTES: max_bytes } = this.config;
    const reply = await this.runner.run(enqueuePlain, { keys: items[0]!.places, args: { max_jobs, max_bytes, jobs } });
    // Where there is no room for all, there may be for some.
    if (reply === FULL && items.length > 1)
      return (await Promise.all(items.map((item) => this.#add([item])))).map(([added]) => added);
    return items.map(() => (reply === ASK_WHOLE ? undefined : reply !== FULL));
  }

  async #ackAndLease(
    places: Places,
    asked: LeaseRequest,
    acks: readonly Ack[],
    most: number,
  ): Promise<AckedAndLeased | undefined> {
    const token = randomToken();
    const args = { ...this.bounds(asked, token), wanted: asked.max, most, acks: ackArgs(acks) };
    const reply = await this.runner.run(ackAndLease, { keys: places, args });
    if (reply === ASK_WHOLE) return this.#detour(places);
    const said = reply as unknown[];
    const endings = (said.slice(0, acks.length) as string[]).map(ending);
    if (said.length === acks.length) return { endings };
    return { endings, lease: leaseReply(token, said.slice(acks.length) as LeasedReply) };
  }

  // The calls of several workers: each gets jobs of its own.
  async #ackAndLeaseEach(items: readonly Done[]): Promise<(AckedAndLeased | undefined)[]> {
    const { places, asked } = items[0]!;
    const acks = items.map(({ ack }) => ack);
    const reply = await this.#ackAndLease(places, asked, acks, asked.max * items.length);
    if (!reply?.lease || items.length === 1)
      return acks.map((_, i) => reply && { ...reply, endings: [reply.endings[i]!] });
    const { endings, lease } = reply;
    let given = 0;
    const answers = endings.map((each) => {
      if (each === 'stale') return { endings: [each] };
      const jobs = lease.jobs.slice(given, (given += asked.max));
      return { endings: [each], lease: { ...lease, jobs } };
    });
    // A reply holds 1 MiB: for who comes last there may be jobs nevertheless. Should that be refused, the others keep theirs.
    return lease.jobs.length === 0
      ? answers
      : Promise.all(
          answers.map(async (each) =>
            each.lease?.jobs.length === 0
              ? { ...each, lease: (await this.lease(places, asked).catch(() => undefined)) ?? each.lease }
              : each,
          ),
        );
  }

  // Whether a short script is worth a try: where it could do nothing, as in a queue that others push to, the next few calls
  // go straight to the whole one.
  #straight(places: Places, asked: LeaseRequest): boolean {
    if (asked.order === 'strict') return false;
    const detours = this.#detours.get(places) ?? 0;
    if (detours > 0) this.#detours.set(places, detours - 1);
    return detours === 0;
  }

  // Either the turn is over, or there is more to prepare, and Redis begins meanwhile.
  #begin<T>(asked: Promise<T>): Promise<T> {
    this.runner.flush('state');
    return asked;
  }

  #detour(places: Places): undefined {
    this.#detours.set(places, DETOUR);
  }
}
