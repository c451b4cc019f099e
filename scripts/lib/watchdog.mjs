import { spawn } from 'node:child_process';

/**
 * Kills a child when this process ends in whatever way, SIGKILL included: a shell waits on a pipe that only this process
 * holds open. Call it right after spawning; it lets go by itself when the child exits.
 *
 * @param {import('node:child_process').ChildProcess} child
 */
export function dieTogether(child) {
  const watchdog = spawn('sh', ['-c', 'read -r _; kill -9 "$0"', String(child.pid)], {
    // A session of its own: Ctrl-C in the terminal must not take the watchdog away.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.on('error', () => {});
  watchdog.unref();
  // The write end of the pipe must not keep this process alive.
  /** @type {import('node:net').Socket} */ (watchdog.stdin).unref();
  child.once('exit', () => watchdog.kill('SIGKILL'));
}
