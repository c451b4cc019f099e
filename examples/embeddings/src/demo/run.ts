import { fromBytes } from '../vector.js';
import type { ProjectApi } from './api.js';
import { follow } from './event-stream.js';
import { RunProgress } from './run-progress.js';

/** What became of a job. */
export interface Outcome {
  readonly docId: string;
  /** Place of its first chunk in the document. */
  readonly offset: number;
  /** Deliveries to a worker: more than one when a worker failed, or died. */
  readonly attempts: number;
  /** One for each chunk; none when the job failed. */
  readonly vectors: readonly Float32Array[];
  readonly failure?: string;
}

/** What a run tells while it goes on. */
export interface RunListener {
  progressed(done: number, total: number): void;
  /** An attempt failed for a reason that was not heard before; it will be made again. */
  troubled(reason: string): void;
  /** Jobs wait, and no worker has taken one for some seconds. */
  idle(waiting: number): void;
}

interface JobState {
  readonly job_id: string;
  readonly state: string;
  readonly attempts: number;
  readonly last_error?: string;
  readonly result?: { readonly vectors: readonly string[] };
}

interface RunningJob {
  readonly docId: string;
  readonly offset: number;
  readonly promise: Promise<Outcome>;
  readonly resolve: (outcome: Outcome) => void;
  /** Known when the API has answered. */
  jobId?: string;
  /** An event said that it has ended. */
  ended?: boolean;
  settled?: boolean;
}

const QUEUE = '/queues/embeddings';
/** So that a job is a matter of a second, and its result small. */
const CHUNKS_PER_JOB = 32;
/** After this time without news the API is asked: a worker may lose its reports, but not its jobs. */
const QUIET_MS = 5000;
const ENDS: ReadonlySet<string> = new Set(['done', 'dead', 'cancelled', 'taken']);

/** Embedding jobs and what becomes of them: each reports as an operation of its own on the project's event stream. */
export class EmbeddingRun {
  readonly #jobs = new Map<string, RunningJob>();
  readonly #progress = new RunProgress();
  readonly #stop = new AbortController();
  readonly #broken: Promise<never>;
  #quiet = false;
  #workSince: number | undefined;

  /** @param id prefix of the operations' ids. */
  constructor(
    private readonly api: ProjectApi,
    readonly id: string,
    private readonly listener: RunListener,
  ) {
    this.#broken = new Promise((_, reject) => void this.#listen().catch(reject));
    // Whoever waits for the outcomes hears of it.
    this.#broken.catch(() => undefined);
    const timer = setInterval(() => void this.#askWhenQuiet().catch(() => undefined), QUIET_MS);
    this.#stop.signal.addEventListener('abort', () => clearInterval(timer));
  }

  get jobs(): number {
    return this.#jobs.size;
  }

  get chunks(): number {
    return this.#progress.total;
  }

  /** When a worker took the first job, on the clock of `performance.now()`; now, if none has. */
  get workSince(): number {
    return this.#workSince ?? performance.now();
  }

  /** Queues the texts of a document, a job for every {@link CHUNKS_PER_JOB} of them. */
  async enqueue(docId: string, texts: readonly string[]): Promise<void> {
    for (let offset = 0; offset < texts.length; offset += CHUNKS_PER_JOB) {
      const chunks = texts.slice(offset, offset + CHUNKS_PER_JOB);
      const operationId = `${this.id}.${this.jobs}`;
      const job: RunningJob = { docId, offset, ...deferred<Outcome>() };
      this.#jobs.set(operationId, job);
      this.#progress.add(operationId, chunks.length);
      const { body } = await this.api.call<JobState>('POST', `${QUEUE}/jobs`, {
        task: { doc_id: docId, chunks },
        options: { operation_id: operationId },
      });
      job.jobId = body.job_id;
      // A fast worker's last event may have come before this answer.
      if (job.ended) await this.#ask(operationId);
    }
  }

  /** @returns what became of each job, once all have ended. */
  outcomes(): Promise<Outcome[]> {
    const jobs = [...this.#jobs.values()];
    return Promise.race([Promise.all(jobs.map((job) => job.promise)), this.#broken]);
  }

  /** Stops following; jobs go on. */
  stop(): void {
    this.#stop.abort();
  }

  async #listen(): Promise<never> {
    const { signal } = this.#stop;
    for await (const { data } of follow((headers) => this.api.open('/progress', headers, signal), signal)) {
      this.#quiet = false;
      const known = this.#progress.troubles.length;
      const ended = this.#progress.hear(data);
      for (const reason of this.#progress.troubles.slice(known)) this.listener.troubled(reason);
      if (this.#progress.started) this.#workSince ??= performance.now();
      this.listener.progressed(this.#progress.done, this.#progress.total);
      for (const operationId of ended) await this.#ask(operationId);
    }
    throw new Error('The event stream has ended.');
  }

  /** Events say that a job has ended; the job itself says how. One that was lost with its worker goes on. */
  async #ask(operationId: string): Promise<void> {
    const job = this.#jobs.get(operationId)!;
    job.ended = true;
    if (job.jobId === undefined) return;
    const { body } = await this.api.call<JobState>('GET', `${QUEUE}/jobs/${job.jobId}`);
    const { state, attempts, last_error, result } = body;
    if (!ENDS.has(state)) return;
    this.#progress.finish(operationId);
    this.listener.progressed(this.#progress.done, this.#progress.total);
    const { docId, offset } = job;
    job.resolve(
      state === 'done' && result
        ? { docId, offset, attempts, vectors: result.vectors.map((text) => fromBytes(Buffer.from(text, 'base64'))) }
        : { docId, offset, attempts, vectors: [], failure: last_error ?? state },
    );
    job.settled = true;
  }

  async #askWhenQuiet(): Promise<void> {
    const quiet = this.#quiet;
    this.#quiet = true;
    const open = [...this.#jobs].filter(([, job]) => !job.settled && job.jobId !== undefined);
    if (!quiet || open.length === 0) return;
    for (const [operationId] of open) await this.#ask(operationId);
    const { body } = await this.api.call<{ waiting: number; leased: number }>('GET', QUEUE);
    if (body.waiting > 0 && body.leased === 0) this.listener.idle(body.waiting);
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}
