import { randomInt } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
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
const HEARTBEAT_LOOK_MS = 1000;
/**
 * After a round of writes frames wait for each other, unless they are many bytes: so many times as long as the round took, and
 * at most so long. So streams leave most of the process's time to others.
 */
const GATHER_TIMES = 30;
const GATHER_MS = 150;
const GATHER_BYTES = 16 * 1024;

/**
 * Writes one event stream (WHATWG HTML, server-sent events) to an HTTP response: frames that others have encoded, heartbeats,
 * and a clean end that says when to come back. What a slow reader has not taken is bounded.
 */
export class SseWriter implements Flow {
  /** Settles when the response is over, however it ended. */
  readonly closed: Promise<void>;
  static readonly #beating = new Set<SseWriter>();
  static #clock: NodeJS.Timeout | undefined;
  readonly #socket: Socket;
  readonly #stuckMs: number;
  #to: Socket | ServerResponse;
  /** When the next heartbeat is due, monotonic ms. */
  #beatAt = Infinity;
  #open = false;
  #over = false;
  /** Whether bytes may wait for the client, and the socket's clock runs. */
  #watched = true;
  /** Frames that wait for each other: they leave in one piece. */
  #frames: Buffer[] = [];
  #bytes = 0;

  /**
   * @param options.cursor the id that a heartbeat carries, when the stream leaves events out.
   * @param options.stuckMs after which a reader that takes nothing is cut; longer than a heartbeat takes to come.
   */
  constructor(
    private readonly response: ServerResponse,
    private readonly options: {
      headers?: Readonly<Record<string, string>>;
      cursor?: (() => string | undefined) | undefined;
      onStuck?: () => void;
      stuckMs?: number;
    } = {},
  ) {
    this.#socket = response.req.socket;
    this.#to = response;
    // The socket's own timeout: each byte that the client takes puts it off. It also ends a stream that was told to end and
    // is not listened to.
    this.#stuckMs = options.stuckMs ?? STUCK_MS;
    response.setTimeout(this.#stuckMs, () => {
      options.onStuck?.();
      response.destroy();
    });
    this.closed = new Promise((resolve) => {
      response.once('close', () => {
        this.#over = true;
        this.#stopBeating();
        resolve();
      });
    });
  }

  /** Whether the first bytes are out. */
  get isOpen(): boolean {
    return this.#open;
  }

  get isClosed(): boolean {
    return this.#over;
  }

  get full(): boolean {
    // Asked for each event by each stream: the socket itself is asked only when it did not take all.
    return this.#bytes + (this.#watched ? this.#to.writableLength : 0) > FULL_BYTES;
  }

  async drained(): Promise<void> {
    this.#flush();
    if (!this.full) return;
    let stop = (): void => undefined;
    const drained = new Promise<void>((resolve) => {
      this.#socket.once('drain', resolve);
      stop = () => this.#socket.off('drain', resolve);
    });
    await Promise.race([drained, this.closed]);
    stop();
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
    // So its end may as well be the connection's (RFC 9112, 6.3): chunks would cost three writes for each frame.
    this.response.removeHeader('Transfer-Encoding');
    this.response.writeHead(200, { ...HEADERS, ...this.options.headers });
    const flushed = new Promise<void>((resolve) => {
      this.response.write(`retry: ${spread(1000, 3000)}\n: connected\n\n`, () => resolve());
    });
    this.#startBeating();
    await Promise.race([flushed, this.closed]);
  }

  /** Writes a frame, at the end of this turn of the event loop or at most 150 ms later; the bytes are shared, not copied. */
  frame(bytes: Buffer): void {
    if (this.#over) return;
    this.#bytes += bytes.length;
    if (this.#frames.push(bytes) === 1) flushLater(this.#flush);
    else if (this.#bytes > GATHER_BYTES) this.#flush();
  }

  readonly #flush = (): void => {
    const frames = this.#frames;
    if (this.#over || frames.length === 0) return;
    this.#frames = [];
    this.#bytes = 0;
    // The body has no coding, so that its bytes are those of the connection, and the socket takes them for a fifth of the
    // price; unless the response still waits for its turn on it.
    this.#to = this.#output();
    this.#to.write(join(frames));
    this.#watch(this.#to.writableLength > 0);
  };

  // Only while bytes wait for the client: a clock that runs is wound up by each write, for a twentieth of its price.
  #watch(watched: boolean): void {
    if (watched === this.#watched) return;
    this.#watched = watched;
    this.#socket.setTimeout(watched ? this.#stuckMs : 0);
  }

  #output(): Socket | ServerResponse {
    const { response } = this;
    if (this.#to !== response) return this.#to;
    return response.socket && response.writableLength === this.#socket.writableLength ? this.#socket : response;
  }

  /** Ends the stream cleanly, telling the client to come back after a while (ms) that differs from client to client. */
  end(reason: string, [soonest, latest]: readonly [number, number] = [1000, 5000]): void {
    if (this.isClosed) return;
    void this.open();
    this.#flush();
    this.#over = true;
    this.#stopBeating();
    this.#watch(true);
    this.response.end(`retry: ${spread(soonest, latest)}\n: ${reason}\n\n`);
  }

  /** Cuts the connection, if it still stands. */
  destroy(): void {
    this.response.destroy();
  }

  // One clock for all: with a timer each, a process of many quiet streams would wake up for every beat of every one.
  #startBeating(): void {
    if (this.#over) return;
    this.#beatLater(monotonicMs());
    SseWriter.#beating.add(this);
    SseWriter.#clock ??= setInterval(() => {
      const now = monotonicMs();
      for (const writer of SseWriter.#beating) if (writer.#beatAt <= now) writer.#beat(now);
    }, HEARTBEAT_LOOK_MS).unref();
  }

  #stopBeating(): void {
    SseWriter.#beating.delete(this);
    if (SseWriter.#beating.size > 0) return;
    clearInterval(SseWriter.#clock);
    SseWriter.#clock = undefined;
  }

  #beat(now: number): void {
    const cursor = this.options.cursor?.();
    // An id without data moves the client's cursor and is no event.
    this.frame(Buffer.from(cursor === undefined ? ': beat\n\n' : `id: ${cursor}\n: beat\n\n`));
    this.#beatLater(now);
  }

  // Jitter keeps a thousand streams that opened together from beating together. Never more than 20 s apart.
  #beatLater(now: number): void {
    this.#beatAt = now + spread(HEARTBEAT_MS * 0.8, HEARTBEAT_MS * 1.2);
  }
}

// All streams that have something to write do so together: at once after a quiet moment, otherwise when the time for it has
// come. So few streams are hardly held up, and many that hear much take one system call for several events.
let waiting: (() => void)[] = [];
let nextAt = -Infinity;

function flushLater(flush: () => void): void {
  if (waiting.push(flush) > 1) return;
  const wait = nextAt - monotonicMs();
  if (wait <= 0) queueMicrotask(flushAll);
  else setTimeout(flushAll, wait);
}

function flushAll(): void {
  const began = monotonicMs();
  const flushes = waiting;
  waiting = [];
  for (const each of flushes) each();
  joined = undefined;
  const now = monotonicMs();
  nextAt = now + Math.min(GATHER_TIMES * (now - began), GATHER_MS);
}

// Streams of one project mostly wait with the same frames, which become one piece once for all of them.
let joined: { readonly frames: readonly Buffer[]; readonly bytes: Buffer } | undefined;

function join(frames: readonly Buffer[]): Buffer {
  if (frames.length === 1) return frames[0]!;
  const same = joined?.frames.length === frames.length && joined.frames.every((frame, i) => frame === frames[i]);
  if (!same) joined = { frames, bytes: Buffer.concat(frames) };
  return joined!.bytes;
}

function spread(fromMs: number, toMs: number): number {
  return randomInt(fromMs, toMs + 1);
}
