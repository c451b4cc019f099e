import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

/** The API refused: its problem document (RFC 9457) as an error. */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** How long a call is tried again while the API is busy, or away for a restart. */
const PATIENCE_MS = 30_000;
const BUSY: ReadonlySet<string> = new Set(['rate_limited', 'queue_full', 'redis_unavailable', 'too_many_connections']);

/** The API of one project over HTTP. Each POST carries an idempotency key, so that trying again does nothing twice. */
export class ProjectApi {
  /** @param authorization value of the header. */
  constructor(
    private readonly url: string,
    readonly projectId: string,
    private readonly authorization: string,
  ) {}

  /** @returns the same project with another credential. */
  as(authorization: string): ProjectApi {
    return new ProjectApi(this.url, this.projectId, authorization);
  }

  /**
   * @param path below the project.
   * @throws Problem when the API refuses, and not because it is busy.
   */
  async call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const response = await this.#patiently(path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(method === 'POST' ? { 'Idempotency-Key': randomUUID() } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  /** Opens an answer that is read while it comes. @throws Problem as {@link call} does. */
  open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    return this.#patiently(path, { headers, signal });
  }

  async #patiently(path: string, init: RequestInit): Promise<Response> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const outcome = await this.#once(path, init).catch((error: unknown) => error as Error);
      if (outcome instanceof Response && outcome.ok) return outcome;
      if (init.signal?.aborted) throw init.signal.reason as Error;
      const error = outcome instanceof Response ? await problemOf(outcome) : outcome;
      const retryable = error instanceof Problem ? BUSY.has(error.code) : error instanceof TypeError;
      const waitMs = 1000 * Number((outcome instanceof Response && outcome.headers.get('Retry-After')) || 1);
      if (!retryable || Date.now() + waitMs > deadline) throw error;
      await pause(waitMs, undefined, init.signal ? { signal: init.signal } : {});
    }
  }

  #once(path: string, init: RequestInit): Promise<Response> {
    const url = `${this.url}/v1/projects/${this.projectId}${path}`;
    return fetch(url, { ...init, headers: { ...init.headers, Authorization: this.authorization } });
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const { code, detail, title } = JSON.parse(text) as Record<string, string>;
    return new Problem(response.status, code ?? 'unknown', detail ?? title ?? text);
  } catch {
    return new Problem(response.status, 'unknown', `The API answered ${response.status}.`);
  }
}
