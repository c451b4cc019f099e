import { type Cursor, formatCursor, NO_EPOCH, parseCursor } from './cursor.js';
import type { OperationState } from './operation-state.js';

/** What makes an event beside its JSON. */
interface EventFacts {
  readonly cursor: Cursor;
  /** The whole event as it goes over the wire, one line. */
  readonly json: string;
  readonly operationId?: string | undefined;
  /** Whether the operation is over with this event. */
  readonly ends?: boolean;
}

/**
 * One event of a stream: of the log, or one of the stream's own (`$snapshot`, `$reset`, `$end`).
 * It is shared by all readers of the process: parsed and encoded at most once, when somebody first asks.
 */
export class ProgressEvent {
  readonly cursor: Cursor;
  readonly json: string;
  readonly operationId: string | undefined;
  readonly ends: boolean;
  #parsed: { type: string; data: unknown } | undefined;
  #frame: Buffer | undefined;
  #namedFrame: Buffer | undefined;

  constructor(facts: EventFacts) {
    this.cursor = facts.cursor;
    this.json = facts.json;
    this.operationId = facts.operationId;
    this.ends = facts.ends ?? false;
  }

  /** `<epoch>-<seq>`: what a client reconnects with. */
  get id(): string {
    return formatCursor(this.cursor);
  }

  get type(): string {
    return this.#parse().type;
  }

  get data(): unknown {
    return this.#parse().data;
  }

  /** The frame of the event stream (WHATWG HTML, server-sent events). */
  get frame(): Buffer {
    this.#frame ??= Buffer.from(`id: ${this.id}\ndata: ${this.json}\n\n`);
    return this.#frame;
  }

  /** The frame with the type as its `event` field, so that it reaches `addEventListener(type)` instead of `onmessage`. */
  get namedFrame(): Buffer {
    this.#namedFrame ??= Buffer.from(`id: ${this.id}\nevent: ${eventName(this.type)}\ndata: ${this.json}\n\n`);
    return this.#namedFrame;
  }

  #parse(): { type: string; data: unknown } {
    this.#parsed ??= JSON.parse(this.json) as { type: string; data: unknown };
    return this.#parsed;
  }

  /** @returns the event in a message of the hubs' channel (`<id> <operation> <ends> <json>`), or `undefined` for none. */
  static fromMessage(message: string): ProgressEvent | undefined {
    const [first, second, third] = spaces(message);
    const cursor = parseCursor(message.slice(0, first));
    if (!cursor || third === undefined) return undefined;
    return new ProgressEvent({
      cursor,
      json: message.slice(third + 1),
      operationId: message.slice(first! + 1, second) || undefined,
      ends: message.slice(second! + 1, third) === '1',
    });
  }

  /** @returns the event in an entry of the log. */
  static fromEntry(epoch: string, [id, [, json, , operation, , ends]]: LogEntry): ProgressEvent {
    return new ProgressEvent({
      cursor: { epoch, seq: Number(id.slice(0, -2)) },
      json,
      operationId: operation || undefined,
      ends: ends === '1',
    });
  }

  /** An event that is in no log. */
  static of(cursor: Cursor, type: string, data: unknown, operationId?: string): ProgressEvent {
    const json = JSON.stringify({ type, data, operation_id: operationId, id: formatCursor(cursor) });
    return new ProgressEvent({ cursor, json, operationId });
  }

  /** What is true at `cursor`, for a client that has nothing to continue from. */
  static snapshot(cursor: Cursor, operations: readonly OperationState[]): ProgressEvent {
    return ProgressEvent.of(cursor, '$snapshot', { operations });
  }

  /** The client's cursor cannot be continued. Its own id cannot either: it is nothing without the snapshot that follows. */
  static reset(): ProgressEvent {
    return ProgressEvent.of({ epoch: NO_EPOCH, seq: 0 }, '$reset', {});
  }

  /** The operation that was asked for is over. */
  static end(cursor: Cursor, operationId: string): ProgressEvent {
    return ProgressEvent.of(cursor, '$end', { operation_id: operationId }, operationId);
  }
}

/** An entry of the log as Redis answers it: its id, and names and values of its fields in the order in which they were added. */
export type LogEntry = [
  id: string,
  fields: [e: string, json: string, o: string, operation: string, x: string, ends: string],
];

function spaces(message: string): [number | undefined, number | undefined, number | undefined] {
  const first = message.indexOf(' ');
  const second = message.indexOf(' ', first + 1);
  const third = message.indexOf(' ', second + 1);
  return first > 0 && second > 0 && third > 0 ? [first, second, third] : [undefined, undefined, undefined];
}

// EventSource dispatches its own events under these names.
const RESERVED = new Set(['error', 'open', 'message']);

function eventName(type: string): string {
  return RESERVED.has(type) ? `op.${type}` : type;
}
