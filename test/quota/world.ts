import { Redis } from 'ioredis';
import { Clock } from '../support/clock.js';
import { ownRedis } from '../support/own-redis.js';
import { Caller } from './caller.js';

/**
 * A Redis server whose clock stands still and moves only at the test's word, and processes that call it. Their own clocks
 * go on, so that they notice when something hangs; {@link advance} moves all together, as time does.
 */
export class World implements AsyncDisposable {
  private constructor(
    readonly redisClock: Clock,
    private readonly appClock: Clock,
    readonly redis: Awaited<ReturnType<typeof ownRedis>>,
    private readonly settings: Record<string, string>,
    readonly callers: readonly Caller[],
    /** An administrator's connection. */
    readonly admin: Redis,
  ) {}

  /** @param options.at where Redis's clock stands at first. */
  static async start({
    at = Date.UTC(2031, 4, 10, 12),
    callers = 1,
    env = {} as Record<string, string>,
  } = {}): Promise<World> {
    const redisClock = new Clock('realtime');
    redisClock.standStill(at);
    const appClock = new Clock('monotonic');
    const redis = await ownRedis('single', redisClock.env);
    const settings = { REDIS_URL: redis.appUrl, ...appClock.env, ...env };
    const started = await Promise.all(Array.from({ length: callers }, () => Caller.start(settings)));
    return new World(redisClock, appClock, redis, settings, started, new Redis(redis.adminUrl, { protocol: 2 }));
  }

  get caller(): Caller {
    return this.callers[0]!;
  }

  /** Redis time in Unix ms. */
  get now(): number {
    return this.redisClock.stillAt;
  }

  /** Lets time pass. */
  async advance(ms: number): Promise<void> {
    this.appClock.step(ms);
    await this.stepRedis(ms);
  }

  /** Lets Redis's clock alone step, forward or back, and all processes hear of it: each reads it again every 5 s. */
  async stepRedis(ms: number): Promise<void> {
    this.redisClock.step(ms);
    await Promise.all(this.callers.map(({ work }) => work.readTime()));
  }

  /** Starts one more process in this world; its end is the test's business. */
  join(): Promise<Caller> {
    return Caller.start(this.settings);
  }

  async keysOf(projectId: string): Promise<string[]> {
    return (await this.admin.keys(`proj:${projectId}:*`)).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.admin.disconnect();
    for (const caller of this.callers) await caller.kill();
    await this.redis[Symbol.asyncDispose]();
    this.redisClock[Symbol.dispose]();
    this.appClock[Symbol.dispose]();
  }
}
