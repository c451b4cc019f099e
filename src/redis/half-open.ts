import type { Redis } from 'ioredis';
import type { Socket } from 'node:net';
import { eachSocket, type RedisClient } from './redis-connections.js';

const LOOK_EVERY_MS = 250;
const LOOKS = 5;

/**
 * Destroys a link on which an answer is owed while not a byte comes for 1.25 to 1.5 s: one that swallows bytes never reports
 * itself, and would stay "ready", or half shaken hands, for ever. Where nothing is owed it stays, however long.
 *
 * One timer for each link; ioredis' `socketTimeout` takes a timer and a listener for each command that is alone, a fiftieth of
 * its CPU. And it counts looks instead of time, since a process that was stalled has yet to read what came meanwhile.
 */
export function endHalfOpen(client: RedisClient): void {
  eachSocket(client, watch);
}

function watch(client: Redis, socket: Socket): void {
  let received = 0;
  let silent = 0;
  const timer = setInterval(() => {
    const waits = client.commandQueue.length > 0 && socket.bytesRead === received;
    silent = waits ? silent + 1 : 0;
    received = socket.bytesRead;
    if (silent === LOOKS) socket.destroy(new Error(`no byte for ${LOOKS * LOOK_EVERY_MS} ms while an answer is owed`));
  }, LOOK_EVERY_MS).unref();
  socket.once('close', () => clearInterval(timer));
}
