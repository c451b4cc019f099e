import { setImmediate as nextTurn } from 'node:timers/promises';
import { isAppError } from '../../../dist/common/app-error.js';
import type { ProjectId } from '../../../dist/common/project-id.js';
import { ProgressService } from '../../../dist/progress/progress.service.js';
import { type JobHandler, QueueConsumer } from '../../../dist/queue/queue-consumer.decorator.js';
import type { LeasedJob } from '../../../dist/queue/queue.types.js';
import { QuotaService } from '../../../dist/quota/quota.service.js';
import { Embedder } from './embedder.js';
import { toBytes } from './vector.js';
import { VectorCache } from './vector-cache.js';

/** What a job of this queue asks for. */
export interface EmbeddingsTask {
  readonly doc_id: string;
  readonly chunks: readonly string[];
}

/** What the job's state shows when it is done. */
export interface EmbeddingsResult {
  readonly doc_id: string;
  /** Vectors of the same model may be compared. */
  readonly model: string;
  readonly dimensions: number;
  /** For each chunk base64 of its vector, one signed byte per dimension. */
  readonly vectors: readonly string[];
}

/** A chunk takes a millisecond, so a watcher hears of every tenth. */
const REPORT_EVERY = 10;

/**
 * Embeds the chunks of a job, one after the other. A chunk is charged to the quota `embeddings` before it is computed, once
 * per job however often the job is delivered (within 10 minutes), and not at all when its vector is known.
 */
@QueueConsumer('embeddings', { concurrency: 2, leaseSeconds: 10 })
export class EmbeddingsConsumer implements JobHandler {
  constructor(
    private readonly embedder: Embedder,
    private readonly cache: VectorCache,
    private readonly quota: QuotaService,
    private readonly progress: ProgressService,
  ) {}

  /** @throws AppError `quota_exceeded`: the job comes back later and goes on where it stopped. */
  async handle(projectId: ProjectId, job: LeasedJob, signal: AbortSignal): Promise<EmbeddingsResult> {
    const { doc_id, chunks } = taskOf(job);
    const { model, dimensions } = this.embedder;
    const known = await this.cache.find(projectId, model, chunks);
    const vectors: string[] = [];
    for (const [i, chunk] of chunks.entries()) {
      signal.throwIfAborted();
      const bytes = known[i] ?? (await this.#embed(projectId, chunk, `${job.jobId}.${i}`));
      vectors.push(bytes.toString('base64'));
      if (vectors.length % REPORT_EVERY === 0) await this.#report(projectId, job, vectors.length);
    }
    return { doc_id, model, dimensions, vectors };
  }

  async #embed(projectId: ProjectId, chunk: string, idempotencyKey: string): Promise<Buffer> {
    await this.quota.consume(projectId, 'embeddings', 1, { idempotencyKey });
    // The model keeps the CPU to itself: between two chunks leases are prolonged and Redis is heard.
    await nextTurn();
    const bytes = toBytes(this.embedder.embed(chunk));
    await this.cache.store(projectId, this.embedder.model, chunk, bytes);
    return bytes;
  }

  async #report(projectId: ProjectId, job: LeasedJob, done: number): Promise<void> {
    const { doc_id, chunks } = taskOf(job);
    await this.progress
      .publish(projectId, {
        type: 'embedding',
        data: { status: 'running', stage: 'embedding', done, total: chunks.length, doc_id },
        ...(job.operationId ? { operation_id: job.operationId } : {}),
      })
      // A report that is lost is no reason to do the work again.
      .catch((error: unknown) => {
        if (!isAppError(error)) throw error;
      });
  }
}

/** The queue has validated it. */
function taskOf(job: LeasedJob): EmbeddingsTask {
  return job.task as unknown as EmbeddingsTask;
}
