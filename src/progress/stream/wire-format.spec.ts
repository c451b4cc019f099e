import { EventSource } from 'eventsource';
import { describe, expect, it } from 'vitest';
import { until } from '../../../test/support/until.js';
import { ProgressEvent } from '../progress-event.js';

/** What a parser that follows the standard makes of these bytes, handed to it in pieces of this size. */
async function parsed(bytes: Buffer, size: number, names: string[] = []) {
  const events: { type: string; id: string; data: string }[] = [];
  let served = false;
  const source = new EventSource('http://unused.test/', {
    fetch: async () => {
      if (served) return new Response(null, { status: 204 });
      served = true;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let i = 0; i < bytes.length; i += size) controller.enqueue(bytes.subarray(i, i + size));
          controller.close();
        },
      });
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    },
  });
  let errors = 0;
  source.addEventListener('error', () => (errors += 1));
  for (const name of ['message', ...names]) {
    source.addEventListener(name, ({ type, lastEventId: id, data }) => events.push({ type, id, data: data as string }));
  }
  // The end of the bytes is told as an error.
  await until(() => errors > 0);
  source.close();
  return events;
}

// After the parser cases of the web-platform-tests for EventSource: what could be taken for an end of line, a field, a
// comment, a byte order mark or an id, in every place that a publisher can fill.
const NASTY = [
  '',
  ' leading and trailing ',
  ':comment',
  'data: x',
  'id: 7',
  'event: error',
  'retry: 1',
  'a\nb',
  'a\r\nb',
  'a\rb',
  '\n\n',
  'a\u0000b',
  '\uFEFFbom',
  'a\u2028b\u2029c\u0085d',
  'ünïcödé 🌍',
  '"quoted" \\ back',
  '</script>',
  'x'.repeat(60_000),
];

describe('the bytes of an event stream', () => {
  const encode = (named: boolean) => {
    const texts = NASTY.map((text, i) =>
      ProgressEvent.of({ epoch: 'e1', seq: i + 1 }, 'step', { text, [text.slice(0, 20)]: [text.slice(0, 20)] }, 'op'),
    );
    const bytes = Buffer.concat([
      Buffer.from('retry: 100\n: connected\n\n'),
      ...texts.flatMap((event) => [named ? event.namedFrame : event.frame, Buffer.from(': beat\n\n')]),
    ]);
    return { texts, bytes };
  };

  it.each([1, 2, 3, 7, 1000, 1_000_000])('carry any content unchanged, in pieces of %i bytes', async (size) => {
    const { texts, bytes } = encode(false);
    const events = await parsed(size > 7 ? bytes : bytes.subarray(0, bytes.indexOf('xxxx') - 30), size);
    const whole = size > 7 ? texts : texts.slice(0, -1);
    expect(events).toEqual(whole.map(({ id, json }) => ({ type: 'message', id, data: json })));
  });

  it('name an event by its type alone when asked to, and never as one that EventSource dispatches itself', async () => {
    const types = ['step', 'error', 'open', 'message', 'a b', ':odd', ' x', 'é'];
    const events = types.map((type, i) => ProgressEvent.of({ epoch: 'e1', seq: i + 1 }, type, {}));
    const bytes = Buffer.concat(events.map(({ namedFrame }) => namedFrame));
    const names = ['step', 'op.error', 'op.open', 'op.message', 'a b', ':odd', ' x', 'é'];
    const seen = await parsed(bytes, 5, names);
    expect(seen.map(({ type }) => type)).toEqual(names);
    expect(seen.map(({ data }) => (JSON.parse(data) as { type: string }).type)).toEqual(types);
  });

  it('move the cursor with a heartbeat that carries an id, and tell nobody', async () => {
    const after = ProgressEvent.of({ epoch: 'e1', seq: 9 }, 'step', {});
    const bytes = Buffer.concat([Buffer.from('id: e1-8\n: beat\n\n'), after.frame]);
    expect((await parsed(bytes, 4)).map(({ id }) => id)).toEqual(['e1-9']);
  });

  it('leave an event out that was cut before its empty line', async () => {
    const { texts, bytes } = encode(false);
    const cut = bytes.subarray(0, bytes.indexOf(texts[3]!.frame) + texts[3]!.frame.length - 1);
    expect((await parsed(cut, 11)).map(({ id }) => id)).toEqual(texts.slice(0, 3).map(({ id }) => id));
  });
});
