import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { JWT_SECRET } from '../support/projects.js';
import { until } from '../support/until.js';

const FILE = join(import.meta.dirname, 'consumer-process.mjs');

/** A process that consumes `embeddings`, made of `dist`; see `consumer-process.mjs`. */
export class ConsumerProcess implements AsyncDisposable {
  /** What its handler said so far, and when that was heard. */
  readonly said: { readonly line: string; readonly at: number }[] = [];
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;
  #rest = '';

  /** @param env `CONCURRENCY`, `LEASE_SECONDS`, `WORK_MS`, `HOLD`, and settings of the application. */
  constructor(redisUrl: string, env: Record<string, string> = {}) {
    this.#child = spawn(process.execPath, [FILE], {
      env: { REDIS_URL: redisUrl, AUTH_JWT_SECRET: JWT_SECRET, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout!.on('data', (chunk) => {
      const lines = (this.#rest + String(chunk)).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) this.said.push({ line, at: performance.now() });
    });
    this.exited = new Promise((resolve) => this.#child.once('close', (code, signal) => resolve(code ?? signal!)));
  }

  get lines(): string[] {
    return this.said.map(({ line }) => line);
  }

  async says(line: string): Promise<void> {
    await until(() => this.lines.includes(line), `the process says ${line}`, 20_000);
  }

  /** Lets a handler that blocks the event loop go on. */
  goOn(): void {
    this.#child.stdin!.write('.');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }
}
