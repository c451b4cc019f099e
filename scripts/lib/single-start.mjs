import { rmSync } from 'node:fs';
import net from 'node:net';
import { join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DATA_FOLDER } from './development.mjs';
import { Failure } from './failure.mjs';

/** How long an earlier start may take to notice that its terminal is gone, and to stop. */
const LEAVING_MS = 5000;

/**
 * Makes this the only `npm start` of this folder, or two would fight for one Redis and its data. The mark is a socket in
 * the data folder: it answers as long as its process lives and stops with it, SIGKILL included.
 */
export async function claimFolder() {
  // The relative path is the shorter one, and systems limit a socket's path to about a hundred bytes.
  const path = relative(process.cwd(), join(DATA_FOLDER, 'start.sock'));
  const deadline = Date.now() + LEAVING_MS;
  while (!(await listen(path))) {
    if (!(await answers(path))) rmSync(path, { force: true });
    else if (Date.now() > deadline) throw new Failure('`npm start` is already running in this folder.');
    else await pause(50);
  }
}

/**
 * @param {string} path
 * @returns {Promise<boolean>}
 */
function listen(path) {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy());
    server.unref();
    server.once('listening', () => resolve(true));
    server.once('error', (error) => ('code' in error && error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen(path);
  });
}

/**
 * @param {string} path
 * @returns {Promise<boolean>}
 */
function answers(path) {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
