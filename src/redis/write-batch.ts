import type { Socket } from 'node:net';
import { Cluster, type Redis } from 'ioredis';
import type { RedisClient } from './redis-connections.js';

// Enough to share the system call, few enough that Redis begins while the rest is still being encoded.
const MAX_BATCH = 16;

/**
 * Lets the commands of one turn of the event loop leave in one write: a fifth less CPU per request. As in Nagle's algorithm
 * (RFC 896) a connection that owes no answer is written to at once, so that a command alone waits for nothing. Unlike ioredis'
 * auto-pipelining, a batch does not wait for the answers to the one before it, and scripts are batched like the rest.
 */
export function batchWrites(client: RedisClient): void {
  if (client instanceof Cluster) client.on('+node', batchNode);
  else batchNode(client);
}

/** Ends the batch of this turn early. */
export function flushWrites(client: RedisClient): void {
  for (const node of client instanceof Cluster ? client.nodes() : [client]) flushes.get(node.stream as Socket)?.();
}

const flushes = new WeakMap<Socket, () => void>();

function batchNode(client: Redis): void {
  // Each connection has a socket of its own.
  client.on('connect', () => gather(client, client.stream as Socket));
}

function gather(client: Redis, socket: Socket): void {
  let commands = '';
  let waiting = 0;
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  const flush = (): void => {
    // What was waiting when the link broke, ioredis has rejected.
    if (waiting === 0 || !socket.writable) return;
    const batch = commands;
    commands = '';
    waiting = 0;
    write(batch);
  };
  flushes.set(socket, flush);
  socket.write = (...args: unknown[]): boolean => {
    const [data, ...more] = args;
    if (typeof data !== 'string' || more.length > 0) {
      flush();
      return write(...args);
    }
    if (waiting === 0) {
      if (client.commandQueue.length === 0) return write(data);
      setImmediate(flush);
    }
    commands += data;
    waiting += 1;
    if (waiting === MAX_BATCH) flush();
    return true;
  };
}
