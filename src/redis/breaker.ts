import { monotonicMs } from '../common/time.js';

/**
 * Circuit breaker of one Redis role: after `threshold` failures in a row calls are refused at once, and one probe is let
 * through each `probeMs` until a call succeeds. It keeps a hanging Redis from holding every request for its full deadline.
 */
export class Breaker {
  #failures = 0;
  #nextProbe = 0;

  constructor(
    private readonly threshold = 3,
    private readonly probeMs = 200,
  ) {}

  /** Whether calls are refused now, but for probes. */
  get open(): boolean {
    return this.#failures >= this.threshold;
  }

  /** @returns whether this call may be sent; counts as the probe when the breaker is open. */
  allow(): boolean {
    if (!this.open) return true;
    const now = monotonicMs();
    if (now < this.#nextProbe) return false;
    this.#nextProbe = now + this.probeMs;
    return true;
  }

  /** Redis answered, be it with an error reply. */
  succeed(): void {
    this.#failures = 0;
  }

  /** Redis gave no answer in time, or the connection failed. */
  fail(): void {
    this.#failures += 1;
    if (this.#failures === this.threshold) this.#nextProbe = monotonicMs() + this.probeMs;
  }
}
