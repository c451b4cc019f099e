import { Logger } from '@nestjs/common';
import {
  concatMap,
  dematerialize,
  finalize,
  materialize,
  Observable,
  type ObservableNotification,
  type OperatorFunction,
  startWith,
} from 'rxjs';
import type { PublishedEvent } from './new-event.js';

/** What one value of the work says. */
export interface Report {
  /** Default `progress`. */
  readonly type?: string;
  /** As in every event: `done`, `total`, `stage`, `message`, `text` with `off`, and anything else. */
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ReportOptions<T> {
  readonly operationId: string;
  /** What to publish about a value; nothing for `undefined`. Default: `done`, the number of values so far. */
  readonly describe?: ((value: T, index: number) => Report | undefined) | undefined;
  /** Known when the work begins. */
  readonly total?: number | undefined;
  /** Within so many seconds each value follows the one before; without one the operation becomes `failed`, `lost`. */
  readonly leaseSeconds?: number | undefined;
}

const log = new Logger('ProgressReport');
const STARTED = Symbol('started');

/**
 * Publishes the progress of any Observable of work as an operation: `started`, an event for each value, and then `completed`,
 * `failed` with the error's message, or `cancelled` when it is unsubscribed. Values pass unchanged, each after its event, and
 * so does the error. Each subscription is the operation anew.
 *
 * The work does not depend on its progress: an event that cannot be published is logged and left out.
 */
export function report<T>(
  publish: (event: PublishedEvent) => Promise<unknown>,
  { operationId, describe = counted, total, leaseSeconds }: ReportOptions<T>,
): OperatorFunction<T, T> {
  const tell = async (type: string, data: object): Promise<void> => {
    try {
      await publish({ type, data, operation_id: operationId });
    } catch (error) {
      log.warn(`${type} of an operation was not published: ${(error as Error).message}`);
    }
  };
  const lease = leaseSeconds === undefined ? {} : { lease_seconds: leaseSeconds };
  return (source) =>
    new Observable<T>((subscriber) => {
      let index = 0;
      let over = false;
      const say = async (step: ObservableNotification<T | typeof STARTED>): Promise<void> => {
        if (step.kind === 'N' && step.value === STARTED) {
          return tell('started', { status: 'started', ...(total === undefined ? {} : { total }), ...lease });
        }
        if (step.kind === 'N') {
          const said = describe(step.value as T, index++);
          if (said) await tell(said.type ?? 'progress', { ...lease, ...said.data });
          return;
        }
        over = true;
        if (step.kind === 'C') return tell('completed', { status: 'completed' });
        const error = step.error instanceof Error ? step.error.message : String(step.error);
        return tell('failed', { status: 'failed', error });
      };
      return (source as Observable<T | typeof STARTED>)
        .pipe(
          startWith(STARTED),
          // The end waits in the same line as the values, or an error would overtake them.
          materialize(),
          concatMap(async (step) => {
            await say(step);
            return step;
          }),
          dematerialize(),
          finalize(() => {
            if (!over) void tell('cancelled', { status: 'cancelled' });
          }),
        )
        .subscribe({
          next: (value) => {
            if (value !== STARTED) subscriber.next(value as T);
          },
          error: (error: unknown) => subscriber.error(error),
          complete: () => subscriber.complete(),
        });
    });
}

function counted(_value: unknown, index: number): Report {
  return { data: { done: index + 1 } };
}
