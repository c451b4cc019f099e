/** Which configuration and rights the server gets. */
export type RedisRole =
  /** redis/state.conf; the API's user may not listen to `__redis__:invalidate`. The state server of two. */
  | 'state'
  /** redis/cache.conf. The cache server of two. */
  | 'cache'
  /** redis/state.conf with the rights of both: the one server of a single-server set-up, as `npm start` runs it. */
  | 'single';

export interface RedisServerOptions {
  role: RedisRole;
  /** Without it a free port is taken and kept through restarts. */
  port?: number;
  /** Where the server keeps data, log, pid file and users; made when missing. */
  dir: string;
  /** `admin` is the user `default` with all rights, `app` the user `api` with the product's. */
  passwords: { admin: string; app: string };
  /** Settings that win over the configuration file, such as `['--maxmemory', '4mb']`. */
  extraArgs?: string[];
  /** Environment of the server beside this process's own. */
  env?: Record<string, string>;
  /** Shuts down a server that an earlier, killed start left on `port` in the same `dir`. A stranger's is never touched. */
  replace?: boolean;
}

/** A running server. It dies with the process that started it, however that ends. */
export interface RedisServer {
  readonly port: number;
  /** Changes with each restart. */
  readonly pid: number;
  /** `redis://default:…@127.0.0.1:port`: everything is allowed. */
  readonly adminUrl: string;
  /** `redis://api:…@127.0.0.1:port`: what the product may do, as redis/users.acl says. */
  readonly appUrl: string;
  /** Resolves when the current server process has ended, for whatever reason. */
  readonly exited: Promise<void>;
  /** Ends it politely, data saved; resolves when the process is gone. A server that is gone already is fine. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing answers. Resolves when it has taken effect. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Stops it if it runs and starts it on the same port with its data, or with `empty` without; resolves when it answers. */
  restart(how?: { empty?: boolean }): Promise<void>;
}

/**
 * Starts a Redis server on 127.0.0.1 with the product's own configuration and users, installing `redis-server` when it
 * is missing. Resolves when it answers PING; rejects with one clear sentence when the port is taken.
 */
export declare function startRedis(options: RedisServerOptions): Promise<RedisServer>;

/** The path of a redis-server ≥ 7.0, installed with apt-get or Homebrew when missing; throws one clear sentence. */
export declare function ensureRedisServer(): string;
