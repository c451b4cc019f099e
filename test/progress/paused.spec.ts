import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { figure, percentile, scaled, SOAK } from '../support/scale.js';
import type { SseClient } from '../support/sse-client.js';
import { until } from '../support/until.js';
import { StreamedProcess } from './streamed-process.js';

const SECONDS = scaled(3, 60);
const RATE = 200;
const PAUSED = scaled(5, 20);
const BYTES = SOAK ? 1000 : 10_000;
const MIB = 1024 * 1024;

describe(`readers that pause for ${SECONDS} s at ${RATE} events/s`, () => {
  it(
    'cost bounded memory and nothing to the others, and have exact text and state afterwards',
    { timeout: 600_000 },
    async () => {
      await using streamed = await StreamedProcess.start();
      const open = (): Promise<SseClient> => streamed.open('?operation_id=a');
      const resident = (): number => {
        const status = readFileSync(`/proc/${streamed.server.pid}/status`, 'utf8');
        return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
      };
      let [text, count] = ['', 0];
      const say = (type: string, data: Record<string, unknown>): Promise<unknown> => streamed.say(type, data, 'a');
      /** Half text, half counts, now and then a stage, evenly over the time. @returns delays at the readers that read, ms. */
      const flow = async (seconds: number, readers: readonly SseClient[]): Promise<number[]> => {
        const begin = performance.now();
        const delays: number[] = [];
        const since = readers.map((reader) => reader.frames.length);
        for (let i = 0; i < seconds * RATE; i += 1, count += 1) {
          await until(() => performance.now() - begin >= (i * 1000) / RATE);
          const sent = performance.now();
          if (i % 2) await say('count', { done: count });
          else {
            const piece = `${count} ${'x'.repeat(i % 100 ? 10 : BYTES)} `;
            await say('delta', { off: text.length, text: piece });
            text += piece;
          }
          if (i % 100 === 99) await say('stage', { stage: `${count}`, x: 'x'.repeat(BYTES) });
          if (i % 20 === 0 && readers[0]) {
            const at = since[0]! + i;
            void until(() => readers[0]!.frames.length > at).then(
              () => delays.push(performance.now() - sent),
              () => undefined,
            );
          }
        }
        return delays;
      };

      const readers = [await open(), await open()];
      const paused = await Promise.all(Array.from({ length: PAUSED }, open));
      const alone = await flow(SECONDS / 3, readers);
      const before = resident();
      for (const client of paused) client.pause();
      const beside = await flow(SECONDS, readers);
      const grown = (resident() - before) / PAUSED;
      figure(`reader paused for ${SECONDS} s`, {
        'MiB each': (grown / MIB).toFixed(2),
        'p99 of others before, ms': percentile(alone, 0.99).toFixed(1),
        'p99 of others beside, ms': percentile(beside, 0.99).toFixed(1),
      });
      expect(grown).toBeLessThan(2 * MIB);

      await say('end', { status: 'completed', done: count });
      for (const client of paused) {
        const seen = [client];
        client.response.resume();
        for (;;) {
          const last = seen.at(-1)!;
          await until(() => last.ended || last.closed, 'the end of a stream', 60_000);
          if (last.types().includes('$end')) break;
          seen.push(streamed.keep(await last.reconnect()));
        }
        let whole = '';
        let holes = 0;
        const stages: string[] = [];
        for (const { json } of seen.flatMap(({ events }) => events)) {
          const { off, text: piece, stage } = json.data as { off?: number; text?: string; stage?: string };
          if (off !== undefined) {
            if (off > whole.length) holes += 1;
            whole = whole.slice(0, off) + piece!;
          }
          if (stage !== undefined) stages.push(stage);
        }
        expect(holes).toBe(0);
        expect(whole).toBe(text);
        expect(stages).toEqual([...new Set(stages)]);
        const ends = seen.flatMap(({ events }) => events).filter(({ json }) => json.type === 'end');
        expect(ends.map(({ json }) => json.data)).toEqual([{ status: 'completed', done: count }]);
        expect(seen.flatMap((part) => part.types())).not.toContain('$reset');
      }
    },
  );
});
