import { Injectable, type OnModuleInit } from '@nestjs/common';
import { RedisConnections } from '../redis/redis-connections.js';
import { RedisGateway } from '../redis/redis-gateway.js';

/**
 * Which run of the state server the commands reach: a restart or a fail-over that may have lost the last events shows as
 * another `run_id` (INFO), and the log then begins a new epoch instead of giving out numbers twice.
 */
@Injectable()
export class ServerRun implements OnModuleInit {
  #current: Promise<string> | undefined;

  constructor(
    private readonly connections: RedisConnections,
    private readonly gateway: RedisGateway,
  ) {}

  onModuleInit(): void {
    // Read anew before the first use of each connection. A call that waits here is sent in the same turn as the answer came,
    // so it cannot reach another run than the one that answered.
    this.connections.state.on('close', () => {
      this.#current = undefined;
    });
  }

  /**
   * @returns `run_id`, or '' on a Cluster, where INFO may come from another node than the project's.
   * @throws AppError `redis_unavailable`
   */
  id(): Promise<string> {
    if (this.connections.state.isCluster) return Promise.resolve('');
    const current = (this.#current ??= this.#read().catch((error: unknown) => {
      if (this.#current === current) this.#current = undefined;
      throw error;
    }));
    return current;
  }

  async #read(): Promise<string> {
    const info = await this.gateway.call('state', 'progress.run_id', (client) => client.info('server'));
    return /^run_id:(\S+)/m.exec(String(info))?.[1] ?? '';
  }
}
