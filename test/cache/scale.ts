import { scaled } from '../support/scale.js';

/** Milliseconds that a test of this kind may take. */
export const TIMEOUT_MS = scaled(60_000, 600_000);
