import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Failure } from './failure.mjs';
import { ensureRedisServer } from './install-redis.mjs';
import { freePort, isPortFree } from './ports.mjs';
import { ask } from './resp.mjs';
import { dieTogether } from './watchdog.mjs';

export { ensureRedisServer };

const CONFIGURATION = fileURLToPath(new URL('../../redis/', import.meta.url));
const POLL_MS = 10;
/** How long a port that is in use may still turn out to be one whose server is just going down. */
const LEAVING_MS = 500;

/**
 * A Redis server on 127.0.0.1 with the product's own configuration and users. See redis-server.d.mts.
 *
 * @param {import('./redis-server.d.mts').RedisServerOptions} options
 * @returns {Promise<RedisServer>}
 */
export async function startRedis(options) {
  const server = new RedisServer(options);
  await server.start();
  return server;
}

/** One server, through all its restarts. */
class RedisServer {
  /** @type {number} */ port;
  #options;
  #anyPort;
  /** @type {import('node:child_process').ChildProcess | undefined} */ #child;
  /** @type {Promise<void>} */ exited = Promise.resolve();

  /** @param {import('./redis-server.d.mts').RedisServerOptions} options */
  constructor(options) {
    this.#options = { ...options, dir: resolve(options.dir) };
    this.#anyPort = options.port === undefined;
    this.port = options.port ?? 0;
  }

  get pid() {
    return this.#child?.pid ?? 0;
  }

  get adminUrl() {
    return this.#url('default', this.#options.passwords.admin);
  }

  get appUrl() {
    return this.#url('api', this.#options.passwords.app);
  }

  async start() {
    const { dir } = this.#options;
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'users.acl'), this.#users(), { mode: 0o600 });
    for (;;) {
      if (this.#anyPort) this.port = await freePort();
      else await this.#clearPort();
      this.#spawn();
      if (await this.#ready()) break;
      if (!this.#anyPort || !/Address already in use/.test(this.#log())) {
        throw new Failure(`redis-server did not start on port ${this.port}: ${this.#log().trim().split('\n').at(-1)}`);
      }
    }
    this.#anyPort = false;
  }

  async stop() {
    if (!this.#isRunning()) return;
    this.#child?.ref();
    // A frozen server would not hear the polite signal.
    this.#signal('SIGCONT');
    this.#signal('SIGTERM');
    await this.exited;
  }

  async kill() {
    if (!this.#isRunning()) return;
    this.#child?.ref();
    this.#signal('SIGKILL');
    await this.exited;
  }

  async freeze() {
    this.#signal('SIGSTOP');
    while (this.#isRunning() && this.#isStopped() === false) await pause(1);
  }

  async thaw() {
    this.#signal('SIGCONT');
    while (this.#isRunning() && this.#isStopped() === true) await pause(1);
  }

  /** @param {{ empty?: boolean }} [how] */
  async restart({ empty = false } = {}) {
    await this.stop();
    if (empty) {
      for (const data of ['appendonlydir', 'dump.rdb']) {
        rmSync(join(this.#options.dir, data), { recursive: true, force: true });
      }
    }
    await this.start();
  }

  /**
   * @param {string} user
   * @param {string} password
   */
  #url(user, password) {
    return `redis://${user}:${encodeURIComponent(password)}@127.0.0.1:${this.port}`;
  }

  /** The users of redis/users.acl. */
  #users() {
    const { role, passwords } = this.#options;
    const users = readFileSync(join(CONFIGURATION, 'users.acl'), 'utf8')
      .replace(/^#.*\n/gm, '')
      .replace('@ADMIN_SHA256@', sha256(passwords.admin))
      .replace('@API_SHA256@', sha256(passwords.app));
    return role === 'state' ? users.replace(' &__redis__:invalidate', '') : users;
  }

  #spawn() {
    const { role, dir, extraArgs = [], env = {} } = this.#options;
    rmSync(join(dir, 'redis.log'), { force: true });
    const settings = {
      port: String(this.port),
      dir,
      aclfile: join(dir, 'users.acl'),
      pidfile: join(dir, 'redis.pid'),
      logfile: join(dir, 'redis.log'),
    };
    const child = spawn(
      ensureRedisServer(),
      [
        join(CONFIGURATION, role === 'cache' ? 'cache.conf' : 'state.conf'),
        ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
        ...extraArgs,
      ],
      // A session of its own: Ctrl-C in the terminal must reach it through stop() alone, in its turn.
      { detached: true, stdio: 'ignore', env: { ...process.env, ...env } },
    );
    dieTogether(child);
    child.unref();
    this.#child = child;
    this.exited = new Promise((done) => {
      child.once('exit', () => done());
      child.once('error', () => done());
    });
  }

  /** Waits until the server answers; false when it ended before. Only an answer with our process id counts. */
  async #ready() {
    while (this.#isRunning()) {
      const { pid, isReady } = await this.#whoListens();
      if (isReady && pid === this.pid) return true;
      await pause(POLL_MS);
    }
    return false;
  }

  /** Makes the given port free, when what stands on it is an earlier server of the same folder and may be replaced. */
  async #clearPort() {
    const deadline = Date.now() + LEAVING_MS;
    while (!(await isPortFree(this.port))) {
      const { pid } = this.#options.replace ? await this.#whoListens() : {};
      if (pid !== undefined && pid === this.#recordedPid()) endProcess(pid);
      else if (Date.now() > deadline)
        throw new Failure(`Port ${this.port} on 127.0.0.1 is in use by another program, and Redis needs it.`);
      await pause(POLL_MS);
    }
  }

  /** Who accepts our password on the port; nothing, when nobody does. */
  async #whoListens() {
    try {
      const server = { port: this.port, password: this.#options.passwords.admin };
      const [pong, info] = await ask(server, [['PING'], ['INFO', 'server']]);
      const pid = /^process_id:(\d+)/m.exec(String(info))?.[1];
      return { pid: pid === undefined ? undefined : Number(pid), isReady: pong === 'PONG' };
    } catch {
      return { pid: undefined, isReady: false };
    }
  }

  #recordedPid() {
    try {
      return Number(readFileSync(join(this.#options.dir, 'redis.pid'), 'utf8'));
    } catch {
      return undefined;
    }
  }

  #log() {
    try {
      return readFileSync(join(this.#options.dir, 'redis.log'), 'utf8');
    } catch {
      return 'it wrote no log';
    }
  }

  #isRunning() {
    return this.#child?.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Whether the kernel holds the process stopped; undefined where there is no /proc to ask. */
  #isStopped() {
    try {
      return /^\d+ \(.*\) T/.test(readFileSync(`/proc/${this.pid}/stat`, 'utf8'));
    } catch {
      return undefined;
    }
  }

  /** @param {NodeJS.Signals} signal */
  #signal(signal) {
    if (this.#isRunning()) this.#child?.kill(signal);
  }
}

/** @param {number} pid */
function endProcess(pid) {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It ended by itself in this moment.
  }
}

/** @param {string} text */
function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}
