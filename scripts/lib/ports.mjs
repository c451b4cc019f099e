import { randomInt } from 'node:crypto';
import net from 'node:net';

/**
 * Whether nobody listens on the port right now.
 *
 * @param {number} port
 * @param {string} [host]
 * @returns {Promise<boolean>}
 */
export function isPortFree(port, host = '127.0.0.1') {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', (error) => resolve(!('code' in error && error.code === 'EADDRINUSE')));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/**
 * A random free port below the range from which systems take the ports of outgoing connections: in there, a client that
 * reconnects to a stopped server can connect to itself and so keep the server from coming back. Somebody else may still
 * take the port before it is used.
 *
 * @returns {Promise<number>}
 */
export async function freePort() {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    if (await isPortFree(port)) return port;
  }
}
