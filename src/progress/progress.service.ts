import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Observable, type OperatorFunction } from 'rxjs';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { idempotency } from '../redis/idempotency.js';
import { KeyBuilder } from '../redis/key-builder.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { ProgressHub } from './hub/progress-hub.js';
import { type StreamOptions, StreamReader } from './hub/stream-reader.js';
import { ProgressIngesters } from './ingest/progress-ingesters.js';
import { type PublishedEvent, toNewEvent } from './new-event.js';
import type { OperationState } from './operation-state.js';
import type { ProgressEvent } from './progress-event.js';
import { ProgressMetrics } from './progress.metrics.js';
import { report, type ReportOptions } from './report.js';
import { ProgressScripts } from './progress.scripts.js';

/** Live progress of one project: publish events, follow them, and see how far its operations are. */
@Injectable()
export class ProgressService implements OnModuleInit {
  constructor(
    private readonly scripts: ProgressScripts,
    private readonly hub: ProgressHub,
    private readonly ingesters: ProgressIngesters,
    private readonly metrics: ProgressMetrics,
    private readonly keys: KeyBuilder,
    private readonly purges: PurgeRegistry,
  ) {}

  onModuleInit(): void {
    this.purges.register('progress', (projectId) => this.scripts.purge(projectId));
  }

  /**
   * Publishes an event: into the log, to every open stream, and into the state of its operation.
   * @returns its id. With an `idempotencyKey` a repetition within 10 minutes publishes nothing and answers the first id.
   * @throws AppError `validation_failed`, `payload_too_large` (over 64 KiB), `conflict` (`data.off` would leave a hole in the
   * operation's text, or the key was used with another body), `storage_full`, `redis_unavailable`.
   */
  async publish(
    projectId: ProjectId,
    event: PublishedEvent,
    options: { readonly idempotencyKey?: string | undefined } = {},
  ): Promise<{ id: string }> {
    const ready = toNewEvent(event);
    const once = idempotency(this.keys, projectId, 'progress.publish', options.idempotencyKey, ready.body);
    const result = await this.scripts.publish(projectId, ready, once);
    if ('textLength' in result) {
      throw new AppError(
        'conflict',
        'progress.publish',
        `data.off is beyond the text, which has ${result.textLength} bytes.`,
      );
    }
    this.metrics.published.inc();
    return { id: result.id };
  }

  /**
   * Follows the project's events, or those of one operation. Cold: each subscription is a stream of its own; underneath they
   * share one feed per project and process.
   *
   * Every event comes once and in order. It begins with `$snapshot`, or after the event `after`; what cannot be continued, now
   * or after an outage, is told by `$reset` and a new `$snapshot`, never by silence. It completes when the operation is over
   * (after `$end`; without any event when `after` is at or past the end) and when the process stops. It errors only while
   * it opens: `redis_unavailable`; once it stands, it outlives outages of Redis.
   */
  stream(projectId: ProjectId, options: StreamOptions = {}): Observable<ProgressEvent> {
    return new Observable((subscriber) => {
      if (options.signal?.aborted) return subscriber.complete();
      let release: (() => void) | undefined;
      const reader = new StreamReader(projectId, options, subscriber, this.hub, this.scripts, this.metrics);
      void reader.open(() => {
        const use = this.ingesters.use(projectId);
        release = use.release;
        return use.ready;
      });
      const abort = (): void => subscriber.complete();
      options.signal?.addEventListener('abort', abort, { once: true });
      return () => {
        options.signal?.removeEventListener('abort', abort);
        reader.close();
        release?.();
      };
    });
  }

  /**
   * An operator that publishes the progress of any Observable of work as an operation, and passes its values on:
   * `pages$.pipe(progress.report(projectId, { operationId: 'import-7', total: 12 }))`. See {@link report}.
   */
  report<T>(projectId: ProjectId, options: ReportOptions<T>): OperatorFunction<T, T> {
    return report((event) => this.publish(projectId, event), options);
  }

  /** Number of the project's streams in this process, those of modules included. */
  openStreams(projectId: ProjectId): number {
    return this.hub.listeners(projectId);
  }

  /**
   * Running and recent operations, the latest touched first: of the last 24 hours, and at most the last 1,000.
   * @param page.before continues a list: `next` of the page before.
   */
  async operations(
    projectId: ProjectId,
    page: { readonly limit: number; readonly before?: number | undefined },
  ): Promise<{ operations: OperationState[]; next: number | undefined }> {
    const { operations } = await this.scripts.operations(projectId, page.limit + 1, page.before);
    const shown = operations.slice(0, page.limit);
    return {
      operations: shown.map(({ state }) => state),
      next: operations.length > shown.length ? shown.at(-1)!.touchedUs : undefined,
    };
  }

  /**
   * @returns how far the operation is, with its text.
   * @throws AppError `not_found` when nothing was heard of it for 24 hours.
   */
  async operation(projectId: ProjectId, operationId: string): Promise<OperationState> {
    const { operation } = await this.scripts.operation(projectId, operationId);
    if (!operation) throw new AppError('not_found', 'progress.operation', 'There is no such operation.');
    return operation.state;
  }
}
