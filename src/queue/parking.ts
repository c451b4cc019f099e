import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { monotonicMs } from '../common/time.js';
import { RedisSubscriber } from '../redis/redis-subscriber.js';

/** The longest time without a look: finds what others pushed, who send no wake-up. */
const SWEEP_MS = 900;

interface Place {
  readonly line: Waiter[];
  wake: () => void;
}

interface Waiter {
  proceed: () => void;
}

/**
 * Where long polls wait: in memory, without a Redis connection or command each. Per project and queue only the first in
 * line looks into Redis, when a wake-up comes, when something is due, or after 0.9 s; the others follow in their order.
 */
@Injectable()
export class Parking implements OnModuleInit, OnModuleDestroy {
  readonly #places = new Map<string, Place>();
  readonly #closing = new AbortController();

  constructor(private readonly subscriber: RedisSubscriber) {}

  async onModuleInit(): Promise<void> {
    await this.subscriber.onWake((projectId, queue) => this.#places.get(`${projectId}:${queue}`)?.wake());
  }

  /** Ends all waiting: each poll answers what it has, which is nothing. */
  onModuleDestroy(): void {
    this.#closing.abort();
  }

  /** Number of polls that wait. */
  get parked(): number {
    let count = 0;
    for (const place of this.#places.values()) count += place.line.length;
    return count;
  }

  /**
   * Looks again and again until `look` finds something, `waitMs` have passed, the caller went away, or the process stops.
   * @param look answers what it found, and in how many ms something becomes due by itself.
   */
  async wait<T>(
    name: string,
    waitMs: number,
    signal: AbortSignal | undefined,
    look: () => Promise<{ found: T | undefined; dueInMs: number | undefined }>,
  ): Promise<T | undefined> {
    const deadline = monotonicMs() + waitMs;
    const over = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    const place = this.#places.get(name) ?? { line: [], wake: () => undefined };
    this.#places.set(name, place);
    const waiter: Waiter = { proceed: () => undefined };
    place.line.push(waiter);
    try {
      for (;;) {
        const first = place.line[0] === waiter;
        let pause = deadline - monotonicMs();
        if (pause <= 0 || over.aborted) return undefined;
        // Wake-ups that come while Redis is being asked must not be lost, so the ear opens first.
        let woken = false;
        let resume = (): void => undefined;
        const signalled = new Promise<void>((resolve) => {
          resume = () => {
            woken = true;
            resolve();
          };
        });
        if (first) place.wake = resume;
        else waiter.proceed = resume;
        if (first) {
          const { found, dueInMs } = await look();
          if (found !== undefined) return found;
          pause = Math.min(deadline - monotonicMs(), SWEEP_MS, Math.max(dueInMs ?? SWEEP_MS, 0) + 1);
        }
        if (!woken) await pauseFor(pause, signalled, over);
      }
    } finally {
      place.line.splice(place.line.indexOf(waiter), 1);
      if (place.line.length === 0) this.#places.delete(name);
      else place.line[0]!.proceed();
    }
  }
}

async function pauseFor(ms: number, signalled: Promise<void>, over: AbortSignal): Promise<void> {
  if (ms <= 0 || over.aborted) return;
  let timer: NodeJS.Timeout | undefined;
  let end = (): void => undefined;
  const timeout = new Promise<void>((resolve) => {
    end = resolve;
    timer = setTimeout(resolve, ms);
    over.addEventListener('abort', end, { once: true });
  });
  await Promise.race([signalled, timeout]);
  clearTimeout(timer);
  over.removeEventListener('abort', end);
}
