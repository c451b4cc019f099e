import { describe, expect, it } from 'vitest';
import { until } from '../support/until.js';
import { scaled } from '../support/scale.js';
import { StreamedProcess } from './streamed-process.js';

const STREAMS = scaled(100, 500);

describe(`a process with ${STREAMS} streams that is told to stop`, () => {
  it(
    'ends them cleanly and spread, waits for no reader that is stuck, and exits within 10 s',
    { timeout: 120_000 },
    async () => {
      await using streamed = await StreamedProcess.start();
      const clients = await Promise.all(Array.from({ length: STREAMS }, () => streamed.open('?operation_id=job')));
      const stuck = await streamed.open();
      stuck.pause();
      // More than the sockets hold by themselves, and only for the one that is stuck.
      const x = 'x'.repeat(60_000);
      for (let i = 0; i < 120; i += 1) await streamed.say('step', { x });
      const { id } = await streamed.say('step', { done: 1 }, 'job');
      for (const client of clients) await until(() => client.lastEventId === id, 'all events', 60_000);

      streamed.server.signal('SIGTERM');
      let exited = false;
      void streamed.server.exited.then(() => (exited = true));
      await until(() => exited, 'the process to exit', 10_000);
      for (const client of clients) {
        await until(() => client.ended, 'a clean end');
        expect(client.comments.at(-1)).toBe('shutting down');
        expect(client.lastEventId).toBe(id);
      }
      const retries = clients.map(({ retry }) => retry!);
      expect(Math.max(...retries) - Math.min(...retries)).toBeGreaterThan(2000);
    },
  );
});
