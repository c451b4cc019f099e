import { setTimeout as pause } from 'node:timers/promises';

/** One frame of `text/event-stream` that carries data. */
export interface StreamEvent {
  readonly id: string;
  readonly data: string;
}

/** Reads `text/event-stream` (WHATWG HTML, "Server-sent events") piece by piece, however the pieces are cut. */
export class EventStreamParser {
  /** The id to reconnect with: of the last frame that had one. */
  lastEventId = '';
  /** How long to wait before reconnecting, in ms; the server's wish once it has named one. */
  retryMs = 1000;

  #rest = '';
  #data: string[] = [];
  #id: string | undefined;

  /** @returns the events that this piece of text completes. */
  push(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (line === '') events.push(...this.#dispatch());
      else this.#field(line);
    }
    return events;
  }

  /** Forgets a frame that the end of the connection left unfinished. */
  reset(): void {
    this.#rest = '';
    this.#data = [];
    this.#id = undefined;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.#data.push(value);
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
  }

  #dispatch(): StreamEvent[] {
    this.lastEventId = this.#id ?? this.lastEventId;
    const data = this.#data;
    this.#id = undefined;
    this.#data = [];
    return data.length === 0 ? [] : [{ id: this.lastEventId, data: data.join('\n') }];
  }
}

/**
 * Follows an event stream as a browser's `EventSource` does, and also where that would give up: whatever ends the
 * connection, it comes back with `Last-Event-ID` and misses nothing. 204 ends it.
 *
 * @param open sends the request; throws for an answer that no repetition can mend.
 */
export async function* follow(
  open: (headers: Record<string, string>) => Promise<Response>,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  const parser = new EventStreamParser();
  while (!signal.aborted) {
    const cursor: Record<string, string> = parser.lastEventId === '' ? {} : { 'Last-Event-ID': parser.lastEventId };
    const response = await open({ Accept: 'text/event-stream', ...cursor });
    if (response.status === 204) return;
    try {
      const decoder = new TextDecoder();
      for await (const bytes of response.body ?? []) yield* parser.push(decoder.decode(bytes, { stream: true }));
    } catch {
      // The connection was cut; an abort by the caller ends the loop.
    }
    parser.reset();
    await pause(parser.retryMs, undefined, { signal }).catch(() => undefined);
  }
}
