import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import { RedisSubscriber } from '../redis/redis-subscriber.js';
import { LockKeys } from './lock.keys.js';
import { LockScripts, type Waiting } from './lock.scripts.js';

/** How often Redis hears of a process's waiters at least; it believes in them for 2 s. */
const BEAT_MS = 900;

interface Waiter extends Waiting {
  readonly turn: () => void;
  /** When the lock may have become free by itself; monotonic ms. */
  lookAt: number;
}

interface Room {
  /** By the name under which a wake-up calls. */
  readonly waiters: Map<string, Waiter>;
  beatAt: number;
  timer: NodeJS.Timeout | undefined;
  leave: (() => void) | undefined;
}

/**
 * Those who wait for locks in this process, a room for each project.
 *
 * Who hands a lock over says so on the project's channel, so a turn costs a waiter no polling. One beat of the room, each
 * 900 ms and whenever a lock should have been claimed or have expired, says that its waiters live, hands over what its
 * holder left behind, and finds the turn whose wake-up was lost.
 */
@Injectable()
export class WaitingRooms implements OnModuleInit, OnModuleDestroy {
  readonly #log = new Logger('Locks');
  readonly #rooms = new Map<ProjectId, Room>();
  #stopHearing = (): void => undefined;

  constructor(
    private readonly scripts: LockScripts,
    private readonly keys: LockKeys,
    private readonly subscriber: RedisSubscriber,
  ) {}

  onModuleInit(): void {
    this.#stopHearing = this.subscriber.onReconnect(() => {
      for (const [projectId, room] of this.#rooms) this.#schedule(projectId, room, 0);
    });
  }

  onModuleDestroy(): void {
    this.#stopHearing();
    for (const { timer } of this.#rooms.values()) clearTimeout(timer);
  }

  /**
   * @param leftMs how long the lock is held at most.
   * @param turn called whenever it seems to be this waiter's turn: claim the lock then.
   * @returns the function that ends the waiting here; Redis hears of it by the release of the owner.
   */
  enter(projectId: ProjectId, waiting: Waiting, leftMs: number, turn: () => void): () => void {
    const room = this.#rooms.get(projectId) ?? this.#open(projectId);
    const id = calledAs(waiting.owner);
    room.waiters.set(id, { ...waiting, turn, lookAt: monotonicMs() + leftMs + 1 });
    this.#plan(projectId, room);
    return () => {
      room.waiters.delete(id);
      if (room.waiters.size > 0 || this.#rooms.get(projectId) !== room) return;
      this.#rooms.delete(projectId);
      clearTimeout(room.timer);
      room.leave?.();
    };
  }

  /** The turn was none: look again at once. */
  again(projectId: ProjectId): void {
    const room = this.#rooms.get(projectId);
    if (room) this.#schedule(projectId, room, 0);
  }

  #open(projectId: ProjectId): Room {
    const room: Room = { waiters: new Map(), beatAt: monotonicMs() + BEAT_MS, timer: undefined, leave: undefined };
    this.#rooms.set(projectId, room);
    void this.#hear(projectId, room);
    return room;
  }

  // What was handed over before the subscription stood is found by the beat that follows it.
  async #hear(projectId: ProjectId, room: Room): Promise<void> {
    try {
      const leave = await this.subscriber.subscribe(this.keys.wake(projectId), (message) =>
        this.#woken(projectId, room, message),
      );
      if (this.#rooms.get(projectId) !== room) return leave();
      room.leave = leave;
    } catch (error) {
      this.#log.debug(`waiting without wake-ups: ${(error as Error).message}`);
    }
    this.#schedule(projectId, room, 0);
  }

  #woken(projectId: ProjectId, room: Room, message: string): void {
    const [name, id, claimMs] = message.split(' ');
    room.waiters.get(id ?? '')?.turn();
    const lookAt = monotonicMs() + Number(claimMs) + 1;
    for (const waiter of room.waiters.values()) if (waiter.name === name) waiter.lookAt = lookAt;
    this.#plan(projectId, room);
  }

  #plan(projectId: ProjectId, room: Room): void {
    let next = room.beatAt;
    for (const { lookAt } of room.waiters.values()) next = Math.min(next, lookAt);
    this.#schedule(projectId, room, next - monotonicMs());
  }

  #schedule(projectId: ProjectId, room: Room, ms: number): void {
    clearTimeout(room.timer);
    room.timer = setTimeout(() => void this.#beat(projectId, room), Math.max(ms, 0));
  }

  async #beat(projectId: ProjectId, room: Room): Promise<void> {
    const waiters = [...room.waiters.values()];
    if (waiters.length === 0) return;
    room.beatAt = monotonicMs() + BEAT_MS;
    for (const waiter of waiters) waiter.lookAt = room.beatAt;
    try {
      const left = await this.scripts.beat(projectId, waiters);
      const now = monotonicMs();
      for (const [i, waiter] of waiters.entries()) {
        if (left[i]! < 0) waiter.turn();
        waiter.lookAt = now + Math.abs(left[i]!) + 1;
      }
    } catch (error) {
      // Redis is away: who waits does so until its time is over.
      this.#log.debug(`no beat: ${(error as Error).message}`);
    }
    if (this.#rooms.get(projectId) === room) this.#plan(projectId, room);
  }
}

// A wake-up names its waiter by what is enough of the hash.
function calledAs(owner: string): string {
  return owner.slice(0, 16);
}
