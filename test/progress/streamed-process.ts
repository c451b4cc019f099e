import type { ProjectId } from '../../src/common/project-id.js';
import { ProgressService } from '../../src/progress/progress.service.js';
import { type Caller, TestApp } from '../support/app.js';
import { MainProcess } from '../support/main-process.js';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET } from '../support/projects.js';
import { SseClient } from '../support/sse-client.js';
import { until } from '../support/until.js';

/**
 * The built application as a process on a Redis of its own, and streams of one project there; what they show is published by
 * another instance. All of it ends with the block.
 */
export class StreamedProcess implements AsyncDisposable {
  server!: MainProcess;
  #viewer!: Caller;
  #progress!: ProgressService;
  #url!: string;
  #events = 0;
  readonly #ends: (() => unknown)[] = [];

  static async start(): Promise<StreamedProcess> {
    const streamed = new StreamedProcess();
    try {
      await streamed.#start();
      return streamed;
    } catch (error) {
      await streamed[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const redis = await ownRedis();
    this.#ends.push(() => redis[Symbol.asyncDispose]());
    this.server = new MainProcess({ REDIS_URL: redis.appUrl, AUTH_JWT_SECRET: JWT_SECRET });
    this.#ends.push(() => this.server[Symbol.asyncDispose]());
    const app = await TestApp.start({ servers: { state: redis } });
    this.#ends.push(() => app.close());
    this.#viewer = await app.caller('viewer');
    this.#progress = app.get(ProgressService);
    this.#url = `${await this.server.url()}${this.#viewer.base}/progress`;
  }

  /** @param query of the stream, with its `?`. @returns once the snapshot is there. */
  async open(query = ''): Promise<SseClient> {
    const client = this.keep(await SseClient.open(`${this.#url}${query}`, { token: this.#viewer.token }));
    await client.until('$snapshot');
    return client;
  }

  /** Cuts this client too at the end. */
  keep(client: SseClient): SseClient {
    this.#ends.push(() => client.cut());
    return client;
  }

  /** Publishes an event, once, as soon as Redis takes it. */
  say(type: string, data: Record<string, unknown>, operation_id?: string): Promise<{ id: string }> {
    const idempotencyKey = `${(this.#events += 1)}`;
    return until(
      () =>
        this.#progress
          .publish(this.#viewer.projectId as ProjectId, { type, data, operation_id }, { idempotencyKey })
          .catch(() => undefined),
      'Redis to take an event',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}
