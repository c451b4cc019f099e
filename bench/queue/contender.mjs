// What both sides share: a process that is told what to do by IPC, and answers how long it took.

/** Runs `work` for each of `count` turns, `inFlight` at a time. @returns milliseconds. */
export async function timed(count, inFlight, work) {
  let next = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < count) {
        next += 1;
        await work();
      }
    }),
  );
  return performance.now() - start;
}

/** @param phases by name: `async (options) => milliseconds`. */
export function serve(phases, close) {
  process.on('message', async ({ phase, options }) => {
    try {
      process.send({ ms: await phases[phase](options) });
    } catch (error) {
      process.send({ error: error.stack });
    }
  });
  process.on('SIGTERM', () => void close().then(() => process.exit(0)));
  process.send('ready');
}

/** A task whose JSON has about `bytes` bytes. */
export function taskOf(bytes) {
  return { doc_id: 'document', chunks: ['x'.repeat(Math.max(bytes - 100, 1))] };
}
