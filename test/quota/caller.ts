import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { QuotaService } from '../../src/quota/quota.service.js';
import type { ReservationService } from '../../src/quota/reservation.service.js';
import { JWT_SECRET } from '../support/projects.js';

/** An error of a call in another process. */
export class CallError extends Error {
  constructor(readonly details: { code: string; message: string; rule?: string; retryAfterSeconds?: number }) {
    super(details.message);
  }

  get code(): string {
    return this.details.code;
  }
}

export interface Storm {
  readonly projectId: string;
  readonly resource: string;
  readonly seed: number;
  readonly operations: number;
  readonly inFlight: number;
  /** Whether what is used may be more than what was held. */
  readonly over: boolean;
}

/** What a storm did: calls, and amounts. */
export interface Sums {
  readonly accepted: number;
  readonly refused: number;
  readonly charged: number;
  readonly overrun: number;
  /** By the holds that it left open. */
  readonly held: number;
  /** Of calls without a key that got no answer, on a slow machine: charged or not. */
  readonly unknown: number;
}

/** What `caller.mjs` offers beside the product's services. */
interface Work {
  /** Unix ms, as the process has it. */
  clock(): number;
  /** Reads Redis's clock again, as it does every 5 s. */
  readTime(): void;
  /** @returns where the API listens from now on. */
  listen(): string;
  storm(storm: Storm): Promise<Sums>;
  streams(streams: {
    projectId: string;
    resource: string;
    count: number;
    step: number;
  }): Promise<{ charged: number; overrun: number }>;
}

type Remote<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

/** The built application in a process of their own, with a connection of their own. `npm test` builds it before. */
export class Caller implements AsyncDisposable {
  readonly quotas = this.#service<QuotaService>('quotas');
  readonly reservations = this.#service<ReservationService>('reservations');
  readonly work = this.#service<Work>('work');
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #exited: Promise<unknown>;
  #lastId = 0;

  private constructor(private readonly child: ChildProcess) {
    this.#exited = once(child, 'exit').then(([code, signal]) => {
      const ended = new CallError({ code: 'exited', message: `the process ended: ${code ?? signal}` });
      for (const { reject } of this.#waiting.values()) reject(ended);
    });
    child.on('message', (message: { id: number; value?: unknown; error?: CallError['details'] }) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) waiting?.reject(new CallError(message.error));
      else waiting?.resolve(message.value);
    });
  }

  /** @param env settings, beside a secret; nothing of the tests' own environment gets in. */
  static async start(env: Record<string, string>): Promise<Caller> {
    const child = fork(join(import.meta.dirname, 'caller.mjs'), {
      env: { LOG_LEVEL: 'fatal', AUTH_JWT_SECRET: JWT_SECRET, ...env },
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const failed = once(child, 'exit').then(([code]) => Promise.reject(new Error(`a caller ended with ${code}`)));
    await Promise.race([once(child, 'message'), failed]);
    failed.catch(() => undefined);
    return new Caller(child);
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #service<T>(service: string): Remote<T> {
    return new Proxy({} as Remote<T>, {
      get:
        (_, method) =>
        (...args: unknown[]) =>
          this.#call({ service, method: String(method), args }),
    });
  }

  #call(call: { service: string; method: string; args: unknown[] }): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.child.send({ id, ...call });
    });
  }
}

/** @returns `ok`, or the code of the error; `degraded` for what passed because Redis did not answer in time. */
export function verdict(call: Promise<unknown>): Promise<string> {
  return call.then(
    (value) => ([value].flat().some((item) => (item as { degraded?: true } | undefined)?.degraded) ? 'degraded' : 'ok'),
    (error: unknown) => {
      if (error instanceof CallError) return error.code;
      throw error;
    },
  );
}

/** Makes calls, so many at a time that none misses its deadline on a slow machine. @returns their values. */
export async function inBatches<T>(calls: readonly (() => Promise<T>)[], size = 100): Promise<T[]> {
  const values: T[] = [];
  for (let i = 0; i < calls.length; i += size)
    values.push(...(await Promise.all(calls.slice(i, i + size).map((call) => call()))));
  return values;
}
