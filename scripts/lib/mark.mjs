import { mkdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { join, relative } from 'node:path';
import { DATA_FOLDER } from './development.mjs';

/**
 * A mark of the data folder that one process at a time can hold: a socket. It answers as long as its process lives and
 * stops with it, SIGKILL included.
 *
 * @param {string} name
 * @returns {Promise<(() => void) | undefined>} gives it back, as the end of the process does; undefined: another holds it
 */
export async function takeMark(name) {
  mkdirSync(DATA_FOLDER, { recursive: true, mode: 0o700 });
  const mark = await listen(pathOf(name));
  if (mark) return mark;
  if (await isTaken(name)) return undefined;
  rmSync(pathOf(name), { force: true });
  return listen(pathOf(name));
}

/**
 * @param {string} name
 * @returns {Promise<boolean>} whether a living process holds the mark
 */
export function isTaken(name) {
  return new Promise((resolve) => {
    const socket = net.connect(pathOf(name));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/**
 * @param {string} path
 * @returns {Promise<(() => void) | undefined>} undefined: the path is in use
 */
function listen(path) {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy());
    server.unref();
    server.once('listening', () => resolve(() => void server.close()));
    server.once('error', (error) =>
      'code' in error && error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(path);
  });
}

/**
 * The relative path is the shorter one, and systems limit a socket's path to about a hundred bytes.
 *
 * @param {string} name
 */
function pathOf(name) {
  return relative(process.cwd(), join(DATA_FOLDER, `${name}.sock`));
}
