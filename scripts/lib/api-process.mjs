import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { Failure } from './failure.mjs';
import { ROOT } from './prepare.mjs';
import { dieTogether } from './watchdog.mjs';

/** The API promises to be gone 10 s after SIGTERM. */
const STOP_MS = 12_000;
const READY_MS = 60_000;

/**
 * The built API as a child process: its log goes to a file, what it says to a human to our standard error as well.
 *
 * @param {NodeJS.ProcessEnv} settings
 * @param {string} logFile replaced
 */
export function startApi(settings, logFile) {
  const child = spawn(process.execPath, ['--enable-source-maps', join(ROOT, 'dist/main.js')], {
    cwd: ROOT,
    env: settings,
    // A session of its own: Ctrl-C in the terminal must reach it through stop() alone, before Redis goes.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  dieTogether(child);

  const log = createWriteStream(logFile, { mode: 0o600 });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  // Log lines are JSON and belong to the file; a plain sentence, such as why the start failed, is for a human.
  createInterface(child.stderr).on('line', (line) => line.startsWith('{') || console.error(line));

  let hasExited = false;
  /** Its exit code; 1 when a signal ended it. @type {Promise<number>} */
  const exited = new Promise((resolve) => {
    child.once('close', (code) => {
      hasExited = true;
      resolve(code ?? 1);
    });
  });

  // An address that means "every interface" is none to connect to.
  const host = ['0.0.0.0', '::'].includes(settings.HOST ?? '') ? '127.0.0.1' : settings.HOST;
  const url = `http://${host?.includes(':') ? `[${host}]` : host}:${settings.PORT}`;

  return { url, exited, ready: ready(), stop };

  /** Resolves when it answers, and also when it has ended before: then `exited` says how. */
  async function ready() {
    const deadline = Date.now() + READY_MS;
    while (!hasExited) {
      const answer = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
      if (answer) return;
      if (Date.now() > deadline) throw new Failure(`The API did not answer on ${url} within a minute; see ${logFile}.`);
      await pause(50);
    }
  }

  async function stop() {
    if (hasExited) return;
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(late);
  }
}
