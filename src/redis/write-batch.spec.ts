import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { batchWrites } from './write-batch.js';

describe('writes that are batched', () => {
  let app: TestApp;
  let client: Redis;
  const writes: Buffer[] = [];
  beforeAll(async () => {
    app = await TestApp.start();
    client = app.state.duplicate({ lazyConnect: true });
    // Heard first, so that it stands between the batches and the socket.
    client.on('connect', () => {
      const { stream } = client;
      const write = stream.write.bind(stream) as (data: string | Buffer) => boolean;
      stream.write = (data: string | Buffer) => {
        writes.push(Buffer.from(data as string));
        return write(data);
      };
    });
    batchWrites(client);
    await client.connect();
  });
  afterAll(async () => {
    client.disconnect();
    await app.close();
  });

  it('let a command alone leave at once', async () => {
    writes.length = 0;
    const answer = client.echo('alone');
    expect(writes).toHaveLength(1);
    expect(await answer).toBe('alone');
  });

  it('hold several commands each where many are asked, in their order, binary ones too', async () => {
    writes.length = 0;
    const asked = Array.from({ length: 200 }, (_, i) => `${i}`);
    const answers = await Promise.all(asked.map((text, i) => client.echo(i % 50 === 49 ? Buffer.from(text) : text)));
    expect(answers).toEqual(asked);
    expect(writes.length).toBeLessThan(50);
    expect(
      Buffer.concat(writes)
        .toString('latin1')
        .match(/\d+(?=\r\n(\*|$))/g),
    ).toEqual(asked);
  });

  it('let what waits leave at the end of the turn, though nothing was answered', async () => {
    const owed = Array.from({ length: 64 }, () => client.echo('owed'));
    writes.length = 0;
    const last = client.echo('last');
    expect(writes).toHaveLength(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.concat(writes).toString()).toContain('last');
    expect(await last).toBe('last');
    await Promise.all(owed);
  });
});
