import type { DynamicModule } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Redis } from 'ioredis';
import supertest from 'supertest';
import { inject } from 'vitest';
import type { Role } from '../../src/auth/principal.js';
import { loadConfig } from '../../src/config/app-config.js';
import { createApp } from '../../src/create-app.js';
import { KeyBuilder } from '../../src/redis/key-builder.js';
import { JWT_SECRET, newProject, tokenFor } from './projects.js';

type Method = 'get' | 'put' | 'post' | 'patch' | 'delete';

/** A caller of one project with one role: `owner.get('/documents/a')`, relative to the project's base. */
export interface Caller extends Record<Method, (path: string) => supertest.Test> {
  readonly projectId: string;
  readonly base: string;
  readonly token: string;
}

/** The real application on the real Redis servers of the run, under the product's own Redis user. */
export class TestApp implements AsyncDisposable {
  /** Administrators' connections, to look at what the product did and to write as other programs do. */
  readonly state: Redis;
  readonly cache: Redis;
  readonly keys = new KeyBuilder();

  private constructor(
    readonly nest: NestExpressApplication,
    /** `http://127.0.0.1:<port>` */
    readonly url: string,
    admin: { state: string; cache: string },
  ) {
    this.state = new Redis(admin.state, { protocol: 2 });
    this.cache = admin.cache === admin.state ? this.state : new Redis(admin.cache, { protocol: 2 });
    // Fault tests end the servers under these connections, too.
    for (const client of [this.state, this.cache]) client.on('error', () => undefined);
  }

  /** @param options.env settings beside the defaults; `redis: 'one'` puts documents on the state server too. */
  static async start({
    env = {} as Record<string, string>,
    redis = 'two' as 'one' | 'two',
    servers = undefined as
      { state: { appUrl: string; adminUrl: string }; cache?: { appUrl: string; adminUrl: string } } | undefined,
    extensions = [] as NonNullable<DynamicModule['imports']>[number][],
  } = {}): Promise<TestApp> {
    const shared = inject('redis');
    const state = servers?.state ?? { appUrl: shared.stateUrl, adminUrl: shared.stateAdminUrl };
    const cache = servers
      ? servers.cache
      : redis === 'two'
        ? { appUrl: shared.cacheUrl, adminUrl: shared.cacheAdminUrl }
        : undefined;
    const config = loadConfig({
      PORT: '0',
      LOG_LEVEL: 'fatal',
      REDIS_URL: state.appUrl,
      REDIS_CACHE_URL: cache?.appUrl,
      AUTH_JWT_SECRET: JWT_SECRET,
      ...env,
    });
    const nest = await createApp(config, extensions);
    await nest.listen(0, '127.0.0.1');
    return new TestApp(nest, await nest.getUrl(), { state: state.adminUrl, cache: cache?.adminUrl ?? state.adminUrl });
  }

  /** A provider of the application: for tests of services. */
  get<T>(token: new (...args: never[]) => T): T {
    return this.nest.get(token as never, { strict: false }) as T;
  }

  /** @returns a caller with a token of its own; of a new project when none is named. */
  caller(role: Role = 'owner', projectId: string = newProject(), user?: string): Promise<Caller> {
    return callerAt(this.url, projectId, role, user);
  }

  /** @returns all keys of a project on both servers, as an administrator sees them. */
  async keysOf(projectId: string): Promise<string[]> {
    const found: string[] = [];
    for (const server of new Set([this.state, this.cache])) {
      for await (const batch of server.scanStream({ match: `proj:${projectId}:*`, count: 1000 }))
        found.push(...(batch as string[]));
    }
    return found.sort();
  }

  /** A request without any credential, by absolute path. */
  get anonymous(): ReturnType<typeof supertest> {
    return supertest(this.url);
  }

  async close(): Promise<void> {
    await this.nest.close();
    this.state.disconnect();
    this.cache.disconnect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** @returns a caller of an application that listens at `url`. */
export async function callerAt(url: string, projectId: string, role: Role, user?: string): Promise<Caller> {
  const token = await tokenFor(projectId, role, user);
  const base = `/v1/projects/${projectId}`;
  const send = (method: Method) => (path: string) =>
    supertest(url)
      [method](base + path)
      .set('Authorization', `Bearer ${token}`);
  return {
    projectId,
    base,
    token,
    get: send('get'),
    put: send('put'),
    post: send('post'),
    patch: send('patch'),
    delete: send('delete'),
  };
}
