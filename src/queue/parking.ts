import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { ReadyProjects } from './ready-projects.js';

/** Polls that may wait for one queue of one project in this process. */
export const MAX_POLLS = 1000;
const RETRY_SECONDS = 5;

interface Place {
  readonly line: Waiter[];
  wake: () => void;
  leave: () => void;
}

interface Waiter {
  proceed: () => void;
}

/**
 * Where long polls wait: in memory, without a Redis connection or command each. Per project and queue only the first in
 * line looks into Redis, when a wake-up or the sweep says that there may be work, or when something is due; the others
 * follow in their order.
 */
@Injectable()
export class Parking implements OnModuleDestroy {
  readonly #places = new Map<string, Place>();
  readonly #closing = new AbortController();

  constructor(private readonly projects: ReadyProjects) {}

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
   * @throws AppError `too_many_connections` at {@link MAX_POLLS}.
   * @param look answers what it found, and in how many ms something becomes due by itself.
   */
  async wait<T>(
    projectId: ProjectId,
    queue: string,
    waitMs: number,
    signal: AbortSignal | undefined,
    look: () => Promise<{ found: T | undefined; dueInMs: number | undefined }>,
  ): Promise<T | undefined> {
    const deadline = monotonicMs() + waitMs;
    const over = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    const name = `${projectId}:${queue}`;
    const place = this.#places.get(name) ?? this.#open(name, projectId, queue);
    if (place.line.length >= MAX_POLLS) {
      throw new AppError('too_many_connections', 'queue.lease', 'Too many requests wait for a job of this queue.', {
        rule: queue,
        retryAfterSeconds: RETRY_SECONDS,
      });
    }
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
          pause = Math.min(deadline - monotonicMs(), Math.max(dueInMs ?? Infinity, 0) + 1);
        }
        if (!woken) await pauseFor(pause, signalled, over);
      }
    } finally {
      place.line.splice(place.line.indexOf(waiter), 1);
      if (place.line.length > 0) place.line[0]!.proceed();
      else {
        place.leave();
        this.#places.delete(name);
      }
    }
  }

  #open(name: string, projectId: ProjectId, queue: string): Place {
    const place: Place = { line: [], wake: () => undefined, leave: () => undefined };
    place.leave = this.projects.follow(queue, projectId, () => place.wake());
    this.#places.set(name, place);
    return place;
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
