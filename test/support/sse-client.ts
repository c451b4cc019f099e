import http from 'node:http';
import { until } from './until.js';

/** An event as a client gets it. */
export interface Frame {
  /** The `id` field of this frame itself. */
  readonly id: string | undefined;
  /** The `event` field. */
  readonly event: string | undefined;
  /** The `data` field as it came. */
  readonly text: string;
  /** The same, parsed. */
  readonly json: { id: string; type: string; data: Record<string, unknown>; operation_id?: string };
}

export interface SseOptions {
  readonly token?: string | undefined;
  /** Sent as `Last-Event-ID`. */
  readonly after?: string | undefined;
  /** Default `text/event-stream`. */
  readonly accept?: string;
  readonly cookie?: string | undefined;
}

/** A raw event stream client: it records everything, repairs nothing, and can be cut or stop reading. */
export class SseClient implements Disposable {
  readonly frames: Frame[] = [];
  readonly comments: string[] = [];
  /** Every byte, for looks at the form. */
  raw = '';
  retry: number | undefined;
  /** The last id that was seen, on this connection or before it. */
  lastEventId: string | undefined;
  /** Whether the server ended the stream cleanly. */
  ended = false;
  /** Whether the connection is over, in whatever way. */
  closed = false;
  response!: http.IncomingMessage;
  readonly #request: http.ClientRequest;
  #rest = '';
  #lines: string[] = [];

  private constructor(
    private readonly url: string,
    private readonly options: SseOptions,
  ) {
    const { token, after, accept = 'text/event-stream', cookie } = options;
    this.lastEventId = after;
    this.#request = http.get(url, {
      agent: false,
      headers: {
        accept,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(after === undefined ? {} : { 'last-event-id': after }),
        ...(cookie === undefined ? {} : { cookie }),
      },
    });
    this.#request.on('error', () => undefined);
    this.#request.on('close', () => (this.closed = true));
  }

  /** Connects; resolves when the headers are there. */
  static async open(url: string, options: SseOptions = {}): Promise<SseClient> {
    const client = new SseClient(url, options);
    client.response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      client.#request.once('response', resolve);
      client.#request.once('error', reject);
    });
    client.response.setEncoding('utf8');
    client.response.on('data', (text: string) => client.#take(text));
    client.response.on('end', () => (client.ended = true));
    client.response.on('error', () => undefined);
    client.response.on('close', () => (client.closed = true));
    return client;
  }

  /** Connects and goes away at once, before anything has come back. */
  static async abort(url: string, options: SseOptions = {}): Promise<void> {
    const client = new SseClient(url, options);
    await new Promise<void>((resolve) => client.#request.once('socket', (socket) => socket.once('connect', resolve)));
    client.cut();
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  /** Events of the log: without the stream's own. */
  get events(): Frame[] {
    return this.frames.filter(({ json }) => !json.type.startsWith('$'));
  }

  types(): string[] {
    return this.frames.map(({ json }) => json.type);
  }

  /** Waits for `count` frames. */
  async receive(count: number): Promise<Frame[]> {
    await until(() => this.frames.length >= count, `${count} frames, after ${JSON.stringify(this.types())}`);
    return this.frames;
  }

  /** Waits for a frame of this type. */
  async until(type: string): Promise<Frame> {
    return until(() => this.frames.find(({ json }) => json.type === type), `a frame ${type}`);
  }

  /** Stops reading, as a phone on a dead link does; the connection stays. */
  pause(): void {
    this.response.pause();
  }

  /** Cuts the connection: RST, nothing said. */
  cut(): void {
    this.#request.socket?.resetAndDestroy();
    this.#request.destroy();
  }

  /** Connects again as a browser does: same URL, with the last id that was seen. */
  reconnect(options: SseOptions = {}): Promise<SseClient> {
    return SseClient.open(this.url, { ...this.options, after: this.lastEventId, ...options });
  }

  [Symbol.dispose](): void {
    this.cut();
  }

  #take(text: string): void {
    this.raw += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (line !== '') this.#lines.push(line);
      else this.#dispatch();
    }
  }

  #dispatch(): void {
    const fields = new Map<string, string>();
    for (const line of this.#lines) {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line)!;
      if (name === '') this.comments.push(value);
      else fields.set(name, value);
    }
    this.#lines = [];
    if (fields.has('retry')) this.retry = Number(fields.get('retry'));
    this.lastEventId = fields.get('id') ?? this.lastEventId;
    const text = fields.get('data');
    if (text === undefined) return;
    this.frames.push({
      id: fields.get('id'),
      event: fields.get('event'),
      text,
      json: JSON.parse(text) as Frame['json'],
    });
  }
}
