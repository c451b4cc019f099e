/** A place in the log of a project. */
export interface Cursor {
  /** Changes when the log was lost, or its numbers may have been given out twice. */
  readonly epoch: string;
  /** Number of the last event that was seen; grows by one per event of the project. */
  readonly seq: number;
}

const CURSOR = /^([a-z0-9]{1,32})-(0|[1-9][0-9]{0,15})$/;

/** Epoch of the id of `$reset`, which no log has: whoever saw only that frame is told again. */
export const NO_EPOCH = 'reset';

/** @returns the cursor in an event's id, or `undefined` for anything that no event of ours ever had as its id. */
export function parseCursor(id: unknown): Cursor | undefined {
  const match = typeof id === 'string' ? CURSOR.exec(id) : null;
  return match ? { epoch: match[1]!, seq: Number(match[2]) } : undefined;
}

/** @returns the event id: `<epoch>-<seq>`, at most 64 bytes of `[a-z0-9-]`. */
export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}-${cursor.seq}`;
}
