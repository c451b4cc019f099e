import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import { SseWriter } from './sse-writer.js';

// What the heartbeats go by.
const CLOCK = ['setInterval', 'clearInterval', 'performance'] as const;

describe('the writer of event streams', () => {
  const servers: http.Server[] = [];
  afterEach(() => {
    vi.useRealTimers();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** A real connection with a writer at its server side. */
  async function connect(options: ConstructorParameters<typeof SseWriter>[1] = {}) {
    let resolve: (response: http.ServerResponse) => void;
    const accepted = new Promise<http.ServerResponse>((done) => (resolve = done));
    const server = http.createServer((_request, response) => resolve(response));
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const opening = SseClient.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const response = await accepted;
    const writer = new SseWriter(response, options);
    await writer.open();
    return { client: await opening, writer, response };
  }

  it('sends a comment at least every 20 s, with the cursor of a filtered stream in it', async () => {
    vi.useFakeTimers({ toFake: [...CLOCK] });
    const { client, writer } = await connect({ cursor: () => 'epoch-7' });
    vi.advanceTimersByTime(20_000);
    vi.useRealTimers();
    await until(() => client.comments.includes('beat'));
    expect(client.raw).toContain('\n\nid: epoch-7\n: beat\n\n');
    expect(client.lastEventId).toBe('epoch-7');
    expect(client.frames).toEqual([]);
    writer.end('over');
    await writer.closed;
  });

  it('sends a bare comment where the cursor is that of the last event anyway', async () => {
    vi.useFakeTimers({ toFake: [...CLOCK] });
    const { client, writer } = await connect();
    vi.advanceTimersByTime(20_000);
    vi.useRealTimers();
    await until(() => client.comments.includes('beat'));
    expect(client.raw).not.toContain('id:');
    writer.end('over');
    await writer.closed;
  });

  it('ends cleanly with a retry, once', async () => {
    const { client, writer } = await connect();
    writer.end('shutting down');
    writer.end('again');
    writer.frame(Buffer.from('data: late\n\n'));
    await writer.closed;
    await until(() => client.ended);
    expect(client.comments).toEqual(['connected', 'shutting down']);
    expect(client.retry).toBeGreaterThanOrEqual(1000);
    expect(client.retry).toBeLessThanOrEqual(5000);
  });

  it('gives each stream its own frames in order, also where streams share the bytes of frames that leave together', async () => {
    const streams = await Promise.all([connect(), connect(), connect()]);
    const [same, own, other] = ['same', 'own', 'other'].map((data) => Buffer.from(`data: "${data}"\n\n`));
    const given = [
      [same!, own!],
      [same!, own!],
      [same!, other!],
    ];
    for (let round = 0; round < 20; round += 1) {
      streams.forEach(({ writer }, i) => given[i]!.forEach((frame) => writer.frame(frame)));
      if (round % 3 > 0) await new Promise(setImmediate);
    }
    for (const [i, { client, writer }] of streams.entries()) {
      writer.end('over');
      await until(() => client.ended);
      expect(client.raw).toContain(`: connected\n\n${Buffer.concat(given[i]!).toString().repeat(20)}retry:`);
    }
  });

  it('says when a slow reader has enough, and when it has taken it', async () => {
    const { client, writer } = await connect();
    client.pause();
    const frame = Buffer.from(`data: "${'x'.repeat(60_000)}"\n\n`);
    let written = 0;
    for (; !writer.full; written += 1) {
      writer.frame(frame);
      await new Promise(setImmediate);
    }
    const drained = writer.drained();
    client.response.resume();
    await drained;
    expect(writer.full).toBe(false);
    writer.end('over');
    await until(() => client.ended);
    expect(client.raw.split('data:').length - 1).toBe(written);
  });

  it('cuts a reader that takes nothing, also one that was told that the stream is over', async () => {
    let stuck = 0;
    for (const over of [false, true]) {
      const { client, writer } = await connect({ stuckMs: 200, onStuck: () => (stuck += 1) });
      client.pause();
      while (!writer.full) {
        writer.frame(Buffer.alloc(60_000, 'x'));
        await new Promise(setImmediate);
      }
      if (over) writer.end('maximum age');
      await writer.closed;
    }
    expect(stuck).toBe(2);
  });

  it('does not cut a reader that is slow and takes what it can', async () => {
    let stuck = 0;
    const { client, writer } = await connect({ stuckMs: 1000, onStuck: () => (stuck += 1) });
    client.response.removeAllListeners('data').pause();
    const bytes = 24 * 1024 * 1024;
    writer.frame(Buffer.alloc(bytes, 'x'));
    let taken = 0;
    const began = performance.now();
    await until(
      () => {
        // No faster than 8 MB a second, and so for far longer than it may take nothing.
        const due = taken < (performance.now() - began) * 8000;
        if (due) taken += (client.response.read() as string | null)?.length ?? 0;
        return taken >= bytes;
      },
      'the slow reader to have it all',
      60_000,
    );
    expect(stuck).toBe(0);
  });

  it('lets nobody wait for a reader that has gone away', async () => {
    const { client, writer } = await connect();
    client.pause();
    while (!writer.full) {
      writer.frame(Buffer.alloc(60_000, 'x'));
      await new Promise(setImmediate);
    }
    const drained = writer.drained();
    client.cut();
    await drained;
    await writer.closed;
    expect(writer.isClosed).toBe(true);
  });
});
