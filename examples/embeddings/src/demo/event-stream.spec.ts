import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventStreamParser, follow } from './event-stream.js';

describe('EventStreamParser', () => {
  it('reads the same events however the bytes are cut and the lines end', () => {
    const lines = [
      ': hello',
      'retry: 50',
      'id: e-1',
      'data: {"a":1}',
      '',
      'data:two',
      'data: lines',
      '',
      'id: e-2',
      '',
      '',
    ];
    fc.assert(
      fc.property(fc.constantFrom('\n', '\r\n', '\r'), fc.array(fc.nat(60), { maxLength: 5 }), (newline, cuts) => {
        // A lone CR ends a line only when the next character shows that no LF follows.
        const text = lines.join(newline) + ':';
        const parser = new EventStreamParser();
        const places = [0, ...cuts.sort((a, b) => a - b), text.length];
        const events = places.slice(1).flatMap((place, i) => parser.push(text.slice(places[i], place)));
        expect(events).toEqual([
          { id: 'e-1', data: '{"a":1}' },
          { id: 'e-1', data: 'two\nlines' },
        ]);
        expect(parser).toMatchObject({ lastEventId: 'e-2', retryMs: 50 });
      }),
    );
  });

  it('drops a frame that the connection left unfinished, and its id with it', () => {
    const parser = new EventStreamParser();
    parser.push('id: e-1\ndata: a\n\nid: e-2\ndata: half');
    parser.reset();
    expect(parser.push('data: b\n\n')).toEqual([{ id: 'e-1', data: 'b' }]);
  });
});

describe('follow', () => {
  it('comes back with Last-Event-ID after each end or cut, and ends at 204', async () => {
    const answers: ((response: ServerResponse) => void)[] = [
      (response) => response.end('retry: 1\nid: e-1\ndata: one\n\n'),
      (response) => response.write('id: e-2\ndata: two\n\nid: e-3\ndata: cut', () => response.destroy()),
      (response) => response.end(': away for a moment\n\n'),
      (response) => response.writeHead(204).end(),
    ];
    const cursors: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      cursors.push(request.headers['last-event-id'] as string | undefined);
      answers[cursors.length - 1]!(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const events: string[] = [];
    const open = (headers: Record<string, string>): Promise<Response> => fetch(`http://127.0.0.1:${port}`, { headers });
    for await (const { data } of follow(open, new AbortController().signal)) events.push(data);
    server.close();
    expect(events).toEqual(['one', 'two']);
    expect(cursors).toEqual([undefined, 'e-1', 'e-2', 'e-2']);
  });
});
