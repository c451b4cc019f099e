import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { until } from './until.js';

const MAIN = join(import.meta.dirname, '../../dist/main.js');

/** The built application as a process of its own, as an operator runs it. `npm test` builds it before. */
export class MainProcess implements AsyncDisposable {
  stdout = '';
  stderr = '';
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;

  /** @param env all settings: nothing of the tests' own environment gets in. */
  constructor(env: Record<string, string>) {
    this.#child = spawn(process.execPath, [MAIN], { env: { PORT: '0', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (chunk) => (this.stdout += String(chunk)));
    this.#child.stderr?.on('data', (chunk) => (this.stderr += String(chunk)));
    this.exited = new Promise((resolve) => this.#child.once('close', (code, signal) => resolve(code ?? signal!)));
  }

  /** What it logged so far; each line is JSON. */
  get log(): Record<string, unknown>[] {
    const lines = this.stdout.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** @returns where it listens, once it does. */
  async url(): Promise<string> {
    return until(() => /"url":"(http:[^"]+)"/.exec(this.stdout)?.[1], 'a process that listens');
  }

  get pid(): number {
    return this.#child.pid!;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }
}
