import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join, relative } from 'node:path';
import { DATA_FOLDER } from './development.mjs';
import { Failure } from './failure.mjs';
import { isTaken } from './mark.mjs';
import { ROOT } from './prepare.mjs';
import { dieTogether } from './watchdog.mjs';

const LOG = join(DATA_FOLDER, 'worker.log');
const STOP_MS = 10_000;

/** A worker for the demo: started when none runs on this machine, and again when it is killed. */
export class DemoWorker {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  #isStopping = false;
  /** @type {(error: Failure) => void} */
  #fail = () => {};

  /** Rejects when a worker cannot start. @type {Promise<never>} */
  failed = new Promise((_, reject) => {
    this.#fail = reject;
  });

  /** @param {(line: string) => void} say */
  constructor(say) {
    this.say = say;
    this.failed.catch(() => {});
  }

  async ensure() {
    if (this.#child || this.#isStopping || (await isTaken('worker'))) return;
    const child = spawn(process.execPath, [join(ROOT, 'scripts/worker.mjs')], {
      // A session of its own: Ctrl-C in the terminal must reach it through stop() alone.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    dieTogether(child);
    const log = createWriteStream(LOG, { flags: 'a', mode: 0o600 });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.say(`Worker      ${child.pid} starts: kill -9 ${child.pid} and see its jobs come back`);
    child.once('close', (code, signal) => this.#ended(child, code, signal));
  }

  async stop() {
    this.#isStopping = true;
    const child = this.#child;
    if (!child) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(late);
  }

  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {number | null} code
   * @param {NodeJS.Signals | null} signal
   */
  #ended(child, code, signal) {
    this.#child = undefined;
    if (this.#isStopping) return;
    if (signal === null && code !== 0) {
      this.#fail(new Failure(`The worker could not start; its log is ${relative(ROOT, LOG)}.`));
      return;
    }
    this.say(`Worker      ${child.pid} is gone (${signal ?? 'stopped'}); its jobs come back when their leases end`);
    this.ensure().catch(() => {});
  }
}
