import { randomInt } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { monotonicMs } from '../../common/time.js';
import type { Flow } from '../hub/stream-reader.js';

const HEADERS = {
  'Content-Type': 'text/event-stream',
  // no-transform: a compressing proxy would hold events back.
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
} as const;

/** Bytes that wait for a slow reader before it gets nothing more until it has taken them. */
const FULL_BYTES = 128 * 1024;
/** A reader that takes nothing for so long is gone, or as good as gone; it loses nothing, because it has its cursor. */
const STUCK_MS = 30_000;
const HEARTBEAT_MS = 15_000;

/**
 * Writes one event stream (WHATWG HTML, server-sent events) to an HTTP response: frames that others have encoded, heartbeats,
 * and a clean end that says when to come back. What a slow reader has not taken is bounded.
 */
export class SseWriter implements Flow {
  /** Settles when the response is over, however it ended. */
  readonly closed: Promise<void>;
  #heartbeat: NodeJS.Timeout | undefined;
  #fullSince: number | undefined;
  #open = false;

  /** @param options.cursor the id that a heartbeat carries, when the stream leaves events out. */
  constructor(
    private readonly response: ServerResponse,
    private readonly options: {
      headers?: Readonly<Record<string, string>>;
      cursor?: (() => string | undefined) | undefined;
      onStuck?: () => void;
    } = {},
  ) {
    this.closed = new Promise((resolve) => {
      response.once('close', () => {
        clearTimeout(this.#heartbeat);
        resolve();
      });
    });
    response.on('drain', () => {
      this.#fullSince = undefined;
    });
  }

  /** Whether the first bytes are out. */
  get isOpen(): boolean {
    return this.#open;
  }

  get isClosed(): boolean {
    return this.response.closed || this.response.writableEnded;
  }

  get full(): boolean {
    return this.response.writableLength > FULL_BYTES;
  }

  async drained(): Promise<void> {
    if (!this.full) return;
    await Promise.race([new Promise<void>((resolve) => this.response.once('drain', resolve)), this.closed]);
  }

  /**
   * Sends headers and first bytes, so that the client knows at once that it is connected.
   * @returns when they have left the process, or the client is gone.
   */
  async open(): Promise<void> {
    if (this.#open) return;
    this.#open = true;
    // The connection is of no use after the stream, and would hold up a shutdown.
    this.response.shouldKeepAlive = false;
    this.response.writeHead(200, { ...HEADERS, ...this.options.headers });
    const flushed = new Promise<void>((resolve) => {
      this.response.write(`retry: ${spread(1000, 3000)}\n: connected\n\n`, () => resolve());
    });
    this.#beatLater();
    await Promise.race([flushed, this.closed]);
  }

  /** Writes a frame; the bytes are shared, not copied. */
  frame(bytes: Buffer): void {
    if (this.isClosed) return;
    if (!this.response.write(bytes)) this.#fullSince ??= monotonicMs();
  }

  /** Ends the stream cleanly, telling the client to come back after a while (ms) that differs from client to client. */
  end(reason: string, [soonest, latest]: readonly [number, number] = [1000, 5000]): void {
    if (this.isClosed) return;
    void this.open();
    clearTimeout(this.#heartbeat);
    this.response.end(`retry: ${spread(soonest, latest)}\n: ${reason}\n\n`);
  }

  /** Cuts the connection, if it still stands. */
  destroy(): void {
    this.response.destroy();
  }

  // Jitter keeps a thousand streams that opened together from beating together. Never more than 20 s apart.
  #beatLater(): void {
    this.#heartbeat = setTimeout(
      () => {
        if (this.#fullSince !== undefined && monotonicMs() - this.#fullSince > STUCK_MS) {
          this.options.onStuck?.();
          this.response.destroy();
          return;
        }
        const cursor = this.options.cursor?.();
        // An id without data moves the client's cursor and is no event.
        this.frame(Buffer.from(cursor === undefined ? ': beat\n\n' : `id: ${cursor}\n: beat\n\n`));
        this.#beatLater();
      },
      spread(HEARTBEAT_MS * 0.8, HEARTBEAT_MS * 1.2),
    ).unref();
  }
}

function spread(fromMs: number, toMs: number): number {
  return randomInt(fromMs, toMs + 1);
}
