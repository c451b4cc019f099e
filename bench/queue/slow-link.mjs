// A link to a Redis server that takes its time: every byte arrives DELAY_MS after it was sent, in both directions.
import net from 'node:net';

const [port, delayMs] = process.argv.slice(2).map(Number);
// Chunks on their way, oldest first: one delay for all keeps the order.
const chunks = [];

// Timers know whole milliseconds only, so what is on its way is looked at in every turn of the event loop.
function deliver() {
  const now = performance.now();
  while (chunks.length > 0 && chunks[0].due <= now) {
    const { to, bytes } = chunks.shift();
    to.write(bytes);
  }
  if (chunks.length > 0) setImmediate(deliver);
}

const server = net.createServer((client) => {
  const redis = net.connect({ host: '127.0.0.1', port });
  for (const [from, to] of [
    [client, redis],
    [redis, client],
  ]) {
    from.setNoDelay(true);
    from.on('data', (bytes) => {
      chunks.push({ due: performance.now() + delayMs, to, bytes });
      if (chunks.length === 1) setImmediate(deliver);
    });
    from.on('error', () => undefined);
    from.on('close', () => to.destroy());
  }
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.on('disconnect', () => process.exit(0));
