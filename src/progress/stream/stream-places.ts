import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../../common/project-id.js';
import { AppConfig } from '../../config/app-config.js';
import { RedisClock } from '../../redis/redis-clock.js';
import { RedisGateway } from '../../redis/redis-gateway.js';
import { defineScript } from '../../redis/script.js';
import { ScriptRunner } from '../../redis/script-runner.js';
import { ProgressKeys } from '../progress.keys.js';

/** How long a place is held without being renewed: an instance that crashed gives its places back after that. */
const PLACE_MS = 40_000;
const BATCH = 500;

export const admitStream = defineScript({
  op: 'progress.admit_stream',
  file: new URL('../lua/admit-stream.lua', import.meta.url),
  role: 'state',
  keys: ['streams'],
  args: ['stream', 'max', 'ttl_ms'],
});
export const renewStreams = defineScript({
  op: 'progress.renew_streams',
  file: new URL('../lua/renew-streams.lua', import.meta.url),
  role: 'state',
  keys: ['streams'],
  args: ['max', 'ttl_ms', 'mine...'],
});

/**
 * The places for streams of each project, `PROGRESS_MAX_STREAMS` over all instances together. Each stream leases one. (An
 * instance that was frozen for longer than its leases may have more streams than places until it renews them.)
 */
@Injectable()
export class StreamPlaces {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly gateway: RedisGateway,
    private readonly clock: RedisClock,
    private readonly keys: ProgressKeys,
    private readonly config: AppConfig,
  ) {}

  /** @returns whether there was a place left. @throws AppError `redis_unavailable` */
  async take(projectId: ProjectId, stream: string): Promise<boolean> {
    const reply = (await this.runner.run(admitStream, {
      keys: { streams: this.keys.streams(projectId) },
      args: { stream, max: this.config.PROGRESS_MAX_STREAMS, ttl_ms: PLACE_MS },
    })) as [number];
    return reply[0] === 1;
  }

  /** @returns the streams that lost their place. @throws AppError `redis_unavailable` */
  async renew(projectId: ProjectId, streams: readonly string[]): Promise<string[]> {
    const lost: string[] = [];
    for (let i = 0; i < streams.length; i += BATCH) {
      const refused = await this.runner.run(renewStreams, {
        keys: { streams: this.keys.streams(projectId) },
        args: { max: this.config.PROGRESS_MAX_STREAMS, ttl_ms: PLACE_MS, mine: streams.slice(i, i + BATCH) },
      });
      lost.push(...(refused as string[]));
    }
    return lost;
  }

  /** Gives a place back, also one of which it is not known whether it was taken. */
  async leave(projectId: ProjectId, stream: string): Promise<void> {
    await this.gateway.call('state', 'progress.leave_stream', (client) =>
      client.zrem(this.keys.streams(projectId), stream),
    );
  }

  /** @returns how many streams of the project are open, over all instances. */
  async count(projectId: ProjectId): Promise<number> {
    return this.gateway.call('state', 'progress.count_streams', (client) =>
      client.zcount(this.keys.streams(projectId), this.clock.now('state'), '+inf'),
    );
  }
}
