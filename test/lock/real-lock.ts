import type { Redis } from 'ioredis';
import type { ProjectId } from '../../src/common/project-id.js';
import { LockKeys } from '../../src/lock/lock.keys.js';
import { acquireLock, beatForWaiters, extendLock, releaseLock } from '../../src/lock/lock.scripts.js';
import { KeyBuilder } from '../../src/redis/key-builder.js';
import { positions, type Script, type ScriptInput } from '../../src/redis/script.js';
import type { Look, Part } from './lock-model.js';

const NAME = 'a';
const NEVER = 1e15;

/** One lock in Redis, by its scripts alone: no process beats or hears for it. */
export class RealLock {
  readonly #keys = new LockKeys(new KeyBuilder());

  constructor(
    private readonly redis: Redis,
    private readonly projectId: ProjectId,
    private readonly owners: readonly string[],
  ) {}

  async acquire(owner: string, ttlMs: number, waits: boolean): Promise<unknown> {
    const keys = this.#keys.toAcquire(this.projectId, NAME);
    const reply = await this.#run(acquireLock, { keys, args: { owner, ttl_ms: ttlMs, wait: waits ? 1 : 0 } });
    if (typeof reply === 'number') return { fence: reply, until: Math.floor(reply / 1000) + ttlMs };
    const [granted, first, second] = reply as [number, number, number | string];
    return granted === 1 ? { fence: first, until: second } : { left: first, place: second };
  }

  async release(owner: string): Promise<boolean> {
    const keys = this.#keys.toRelease(this.projectId, NAME, owner);
    return (await this.#run(releaseLock, { keys, args: { owner } })) === 1;
  }

  async extend(owner: string, ttlMs: number): Promise<number | undefined> {
    const keys = { lock: this.#keys.lock(this.projectId, NAME) };
    const reply = (await this.#run(extendLock, { keys, args: { owner, ttl_ms: ttlMs } })) as number[];
    return reply[2];
  }

  async beat(waiters: readonly (readonly [owner: string, place: number])[]): Promise<unknown> {
    const locks = waiters.map(() => this.#keys.lock(this.projectId, NAME));
    return this.#run(beatForWaiters, { keys: { locks }, args: { waiters: waiters.flat() } });
  }

  async lose(what: Part): Promise<void> {
    await this.redis.del(this.#key(what));
  }

  /** Reads every key, which also makes Redis forget for good what has expired by now. */
  async look(): Promise<Look & { readonly marked: Record<'lock' | 'fence', boolean | undefined> }> {
    const [lock, until, fence, queue, alive, ...released] = await Promise.all([
      this.redis.get(this.#key('lock')),
      this.redis.pexpiretime(this.#key('lock')),
      this.redis.get(this.#key('fence')),
      this.redis.zrange(this.#key('queue'), '0', '-1'),
      this.redis.zrange(this.#key('alive'), '0', '-1'),
      ...this.owners.map((owner) => this.redis.exists(this.#keys.toRelease(this.projectId, NAME, owner).released)),
    ]);
    const [owner, granted] = lock?.replace('*', '').split(' ') ?? [];
    return {
      holder: owner === undefined ? undefined : { owner, fence: Number(granted) },
      until: owner === undefined ? undefined : until,
      last: Number(fence?.replace('*', '') ?? 0),
      queue,
      alive: queue.filter((waiter) => alive.includes(waiter)),
      released: this.owners.filter((_, i) => released[i] === 1),
      marked: { lock: lock?.startsWith('*'), fence: fence?.startsWith('*') },
    };
  }

  #key(part: Part): string {
    const { lock, fence } = this.#keys.toAcquire(this.projectId, NAME);
    const waiting = { queue: this.#keys.queue(this.projectId, NAME), alive: this.#keys.alive(this.projectId, NAME) };
    return { lock, fence, ...waiting }[part];
  }

  #run<K extends readonly string[], A extends readonly string[]>(
    script: Script<K, A>,
    { keys, args }: ScriptInput<K, A>,
  ): Promise<unknown> {
    const names = positions(script.keys, keys) as string[];
    return this.redis.eval(script.source, names.length, ...names, NEVER, ...positions(script.args, args));
  }
}
