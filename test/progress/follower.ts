import http from 'node:http';
import type { Socket } from 'node:net';

export type Cut = 'rst' | 'fin' | 'half-open';

/** Numbers are in the events as `{"type":"step","data":{"n":…`. */
const NUMBER = '"data":{"n":';

/**
 * One client of a stream of numbered events, light enough to be run a thousand times. It goes on after each cut from the last
 * id it saw, as a browser does, and notes the first thing that is not the next number.
 */
export class Follower {
  /** The number it waits for. */
  next = 0;
  fault: string | undefined;
  connections = 0;
  cuts = 0;
  #lastEventId: string | undefined;
  #rest = '';
  #request: http.ClientRequest | undefined;
  #response: http.IncomingMessage | undefined;
  #abandoned: Socket[] = [];
  #stopped = false;
  #stands: (() => void) | undefined;
  /** Settles when the first stream stands. */
  readonly stands = new Promise<void>((resolve) => (this.#stands = resolve));

  /** @param url of the next connection. @param plan at which numbers the connection is cut, and how. */
  constructor(
    private readonly url: () => string,
    private readonly token: string,
    private readonly plan: { at: number; how: Cut }[],
    private readonly random: () => number,
  ) {
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    this.#request?.destroy();
    for (const socket of this.#abandoned) socket.destroy();
  }

  #connect(): void {
    if (this.#stopped) return;
    this.connections += 1;
    this.#rest = '';
    const request = http.get(this.url(), {
      agent: false,
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${this.token}`,
        ...(this.#lastEventId === undefined ? {} : { 'last-event-id': this.#lastEventId }),
      },
    });
    this.#request = request;
    const again = (): void => {
      if (this.#request !== request) return;
      this.#request = undefined;
      setTimeout(() => this.#connect(), 20 + this.random() * 200);
    };
    request.on('error', () => undefined);
    request.on('close', again);
    request.on('response', (response) => {
      this.#response = response;
      if (response.statusCode !== 200) this.#fail(`status ${response.statusCode}`);
      response.setEncoding('latin1');
      response.on('error', () => undefined);
      response.on('close', again);
      response.on('data', (text: string) => {
        if (this.#request === request) this.#take(text);
      });
    });
  }

  #take(text: string): void {
    const all = this.#rest + text;
    let from = 0;
    for (let end = all.indexOf('\n\n'); end >= 0; end = all.indexOf('\n\n', from)) {
      this.#frame(all, from, end);
      from = end + 2;
      // It was cut.
      if (this.#request === undefined) return;
    }
    this.#rest = all.slice(from);
  }

  #frame(all: string, from: number, end: number): void {
    if (!all.startsWith('id: ', from)) return;
    const line = all.indexOf('\n', from);
    this.#lastEventId = all.slice(from + 4, line);
    const at = all.indexOf(NUMBER, line);
    if (at < 0 || at > end) return this.#own(all.slice(line + 1, end));
    const n = parseInt(all.slice(at + NUMBER.length, at + NUMBER.length + 8), 10);
    if (n !== this.next) this.#fail(`${n} instead of ${this.next}`);
    this.next = n + 1;
    if (this.plan[0]?.at === n) this.#cut(this.plan.shift()!.how);
  }

  #own(frame: string): void {
    this.#stands?.();
    if (frame.includes('$reset')) this.#fail('$reset');
  }

  #cut(how: Cut): void {
    this.cuts += 1;
    const { socket } = this.#request!;
    const request = this.#request!;
    this.#request = undefined;
    if (how === 'rst') socket!.resetAndDestroy();
    else if (how === 'fin') request.destroy();
    else {
      // Nothing is read and nothing is closed: the server cannot know.
      this.#response!.pause();
      socket!.pause();
      this.#abandoned.push(socket!);
    }
    setTimeout(() => this.#connect(), 20 + this.random() * 200);
  }

  #fail(what: string): void {
    this.fault ??= `${what} (connection ${this.connections}, after ${this.#lastEventId})`;
  }
}
