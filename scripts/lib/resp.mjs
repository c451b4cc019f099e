import net from 'node:net';

/** @typedef {string | number | null | Error} Reply */

/**
 * Sends commands to a Redis server on 127.0.0.1 over one connection and closes it: just enough protocol to ask a server
 * who it is before any package is installed. Rejects when there is no server, or no answer in time.
 *
 * @param {{ port: number, password?: string, timeoutMs?: number }} server
 * @param {string[][]} commands
 * @returns {Promise<Reply[]>} one reply per command; an error reply is an Error, not a rejection
 */
export function ask({ port, password, timeoutMs = 1000 }, commands) {
  const all = password === undefined ? commands : [['AUTH', password], ...commands];
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    let received = Buffer.alloc(0);
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer from port ${port}`)));
    socket.on('connect', () => socket.write(all.map(encode).join('')));
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      const replies = decode(received);
      if (replies.length < all.length) return;
      socket.destroy();
      resolve(replies.slice(all.length - commands.length));
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`port ${port} closed the connection`)));
  });
}

/** @param {string[]} command */
function encode(command) {
  return `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`;
}

/**
 * The complete replies at the head of the buffer: simple strings, errors, integers and bulk strings.
 *
 * @param {Buffer} bytes
 */
function decode(bytes) {
  /** @type {Reply[]} */
  const replies = [];
  for (let at = 0; at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) break;
    const line = bytes.toString('utf8', at + 1, lineEnd);
    let next = lineEnd + 2;
    switch (bytes[at]) {
      case 0x2b: // +
        replies.push(line);
        break;
      case 0x2d: // -
        replies.push(new Error(line));
        break;
      case 0x3a: // :
        replies.push(Number(line));
        break;
      case 0x24: {
        // $
        const length = Number(line);
        if (length < 0) {
          replies.push(null);
          break;
        }
        if (bytes.length < next + length + 2) return replies;
        replies.push(bytes.toString('utf8', next, next + length));
        next += length + 2;
        break;
      }
      default:
        replies.push(new Error('not a Redis server'));
        return replies;
    }
    at = next;
  }
  return replies;
}
