import { Redis } from 'ioredis';
import type { RedisServer } from '../../scripts/lib/redis-server.mjs';

const LAWFUL = /^proj:\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?:./;
const LAWFUL_PATTERN = /^proj:\*:queue:\*:wake$/;
// The paced background discovery of queues nobody told us of; it reads no values.
const LAWFUL_DISCOVERY = /^proj:\*:queue:[A-Za-z0-9._-]{1,128}\*$/;
const INVALIDATION = '__redis__:invalidate';

/** Where the keys of a command stand: first, last (negative: from the end) and step, as COMMAND INFO tells. */
type KeySpec = [first: number, last: number, step: number];

/** Listens to every command (`MONITOR`) of a server and notes each key or channel that breaks the isolation law. */
export class CommandWatch {
  readonly #breaches = new Set<string>();
  readonly #specs = new Map<string, KeySpec>();
  readonly #monitors: Redis[] = [];
  readonly #clients: Redis[] = [];
  #seen = 0;

  static async on(servers: readonly Pick<RedisServer, 'adminUrl'>[]): Promise<CommandWatch> {
    const watch = new CommandWatch();
    for (const server of servers) await watch.#listen(server.adminUrl);
    return watch;
  }

  /** Number of commands that were looked at. */
  get seen(): number {
    return this.#seen;
  }

  /** @returns what broke the law so far. Waits until everything sent before this call has been heard. */
  async stop(): Promise<string[]> {
    await Promise.all(
      this.#clients.map(async (client, i) => {
        const token = `end-of-watch-${Math.random()}`;
        const heard = new Promise<void>((resolve) => {
          this.#monitors[i]!.on('monitor', (_time: string, args: string[]) => {
            if (args.includes(token)) resolve();
          });
        });
        await client.echo(token);
        await heard;
      }),
    );
    for (const client of [...this.#clients, ...this.#monitors]) client.disconnect();
    return [...this.#breaches];
  }

  async #listen(url: string): Promise<void> {
    const client = new Redis(url, { protocol: 2 });
    for (const [name, , flags, first, last, step] of (await client.call('COMMAND')) as [
      string,
      number,
      string[],
      number,
      number,
      number,
    ][]) {
      if (first > 0) this.#specs.set(name, [first, last, step]);
      if (flags.includes('movablekeys') && first === 0) this.#specs.delete(name);
    }
    const monitor = await client.monitor();
    monitor.on('monitor', (_time: string, args: string[]) => this.#look(args));
    this.#clients.push(client);
    this.#monitors.push(monitor);
  }

  #look(args: string[]): void {
    this.#seen += 1;
    for (const key of this.#keys(args)) {
      if (!LAWFUL.test(key)) this.#breaches.add(`${args[0]} ${key}`.slice(0, 200));
    }
    const name = args[0]?.toLowerCase();
    if (name === 'psubscribe' && !args.slice(1).every((pattern) => LAWFUL_PATTERN.test(pattern)))
      this.#breaches.add(args.join(' '));
    if (name !== undefined && ['flushall', 'flushdb', 'keys', 'select', 'blpop', 'brpop', 'blmove'].includes(name)) {
      this.#breaches.add(`forbidden command ${name}`);
    }
    if (name === 'xread' && args.some((arg) => arg.toLowerCase() === 'block'))
      this.#breaches.add('forbidden XREAD BLOCK');
  }

  #keys(args: string[]): string[] {
    const name = args[0]?.toLowerCase() ?? '';
    if (['eval', 'evalsha', 'eval_ro', 'evalsha_ro'].includes(name)) return args.slice(3, 3 + Number(args[2]));
    if (['subscribe', 'unsubscribe', 'ssubscribe'].includes(name))
      return args.slice(1).filter((channel) => channel !== INVALIDATION);
    if (name === 'publish' || name === 'spublish') return args.slice(1, 2);
    if (name === 'scan')
      return args.flatMap((arg, i) =>
        arg.toLowerCase() === 'match' && !LAWFUL_DISCOVERY.test(args[i + 1]!) ? [args[i + 1]!] : [],
      );
    if (name === 'memory' || name === 'object') return args.slice(2, 3);
    const spec = this.#specs.get(name);
    if (!spec) return [];
    const [first, last, step] = spec;
    const end = last < 0 ? args.length + last : last;
    const keys: string[] = [];
    for (let i = first; i <= end; i += step) keys.push(args[i]!);
    return keys;
  }
}
