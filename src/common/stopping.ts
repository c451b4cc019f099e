import { setMaxListeners } from 'node:events';
import { Global, Injectable, Module } from '@nestjs/common';

/** Tells when the process begins to stop: from then on new requests are refused, and what waits gives up. */
@Injectable()
export class Stopping {
  readonly #controller = new AbortController();

  constructor() {
    // Each waiting request listens; that is no leak.
    setMaxListeners(0, this.#controller.signal);
  }

  /** Fires once, before any shutdown hook runs. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  begin(): void {
    this.#controller.abort();
  }
}

@Global()
@Module({ providers: [Stopping], exports: [Stopping] })
export class StoppingModule {}
