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

/** @param phases by name: `async (options) => milliseconds`, or figures of its own. */
export function serve(phases, close) {
  process.on('message', async ({ phase, options }) => {
    try {
      process.send({ answer: await phases[phase](options) });
    } catch (error) {
      process.send({ error: error.stack });
    }
  });
  process.on('SIGTERM', () => void close().then(() => process.exit(0)));
  process.send('ready');
}

/** For workers that run by themselves: `drained` answers when `done` was called `count` times since the last one. */
export function counter() {
  let left = 0;
  let finish = () => undefined;
  return {
    done() {
      left -= 1;
      if (left === 0) finish();
    },
    drained: ({ count }) =>
      new Promise((resolve) => {
        left += count;
        finish = resolve;
      }),
  };
}

/** A task whose JSON has about `bytes` bytes. */
export function taskOf(bytes) {
  return { doc_id: 'document', chunks: ['x'.repeat(Math.max(bytes - 100, 1))] };
}
