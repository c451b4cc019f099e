import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Caller } from '../support/app.js';

/** A worker over HTTP in a process of its own; see `pull-worker.mjs`. */
export class PullWorker {
  readonly started: string[] = [];
  readonly acked = new Map<string, string>();
  killed = false;
  readonly #child: ChildProcess;
  #rest = '';

  constructor(url: string, { base, token }: Caller, leaseSeconds: number, work?: 'held' | number) {
    const file = join(import.meta.dirname, 'pull-worker.mjs');
    const args = [file, url + base, token, String(leaseSeconds), ...(work === undefined ? [] : [String(work)])];
    this.#child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.on('data', (chunk) => {
      const lines = (this.#rest + String(chunk)).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) {
        const [what, job, detail] = line.split(' ') as [string, string, string];
        if (what === 'start') this.started.push(job);
        else this.acked.set(job, detail);
      }
    });
  }

  goOn(): void {
    this.#child.stdin!.write('\n');
  }

  signal(signal: NodeJS.Signals): void {
    this.killed ||= signal === 'SIGKILL';
    this.#child.kill(signal);
  }
}
