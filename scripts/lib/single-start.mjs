import { setTimeout as pause } from 'node:timers/promises';
import { Failure } from './failure.mjs';
import { takeMark } from './mark.mjs';

/** How long an earlier start may take to notice that its terminal is gone, and to stop. */
const LEAVING_MS = 5000;

/** Makes this the only `npm start` of this folder, or two would fight for one Redis and its data. */
export async function claimFolder() {
  const deadline = Date.now() + LEAVING_MS;
  while (!(await takeMark('start'))) {
    if (Date.now() > deadline) throw new Failure('`npm start` is already running in this folder.');
    await pause(50);
  }
}
