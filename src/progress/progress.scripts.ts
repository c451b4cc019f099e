import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { AppConfig } from '../config/app-config.js';
import type { Idempotency } from '../redis/idempotency.js';
import { defineScript } from '../redis/script.js';
import { ScriptRunner } from '../redis/script-runner.js';
import type { Cursor } from './cursor.js';
import { isTerminal, type OperationUpdate, type StoredOperation, toState } from './operation-state.js';
import { type LogEntry, ProgressEvent } from './progress-event.js';
import { ProgressKeys } from './progress.keys.js';
import { ServerRun } from './server-run.js';

const file = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);
const STREAM_KEYS = ['meta', 'log', 'operations', 'leases', 'operation', 'text', 'seq_channel'] as const;
const EVENT_ARGS = [
  ...(['run_id', 'fresh_epoch', 'max_events', 'max_bytes', 'max_seconds'] as const),
  ...(['body', 'operation_id', 'status', 'text', 'off', 'lease_ms'] as const),
] as const;

const PUBLISH = {
  role: 'state',
  keys: [...STREAM_KEYS, 'idempotency', 'channel'],
  args: [...EVENT_ARGS, 'fingerprint', 'fields...'],
} as const;
export const publishEvent = defineScript({ op: 'progress.publish', file: file('publish'), ...PUBLISH });
export const finishOperation = defineScript({ op: 'progress.finish', file: file('finish'), ...PUBLISH });
export const ingestMessage = defineScript({
  op: 'progress.ingest',
  file: file('ingest'),
  role: 'state',
  keys: [...STREAM_KEYS, 'ingest'],
  args: [...EVENT_ARGS, 'token', 'mark', 'index', 'fields...'],
});
export const loseOperation = defineScript({
  op: 'progress.lose',
  file: file('lose'),
  role: 'state',
  keys: [...STREAM_KEYS, 'channel'],
  args: [...EVENT_ARGS, 'fields...'],
});
export const readLog = defineScript({
  op: 'progress.read',
  file: file('read'),
  role: 'state',
  keys: ['meta', 'log', 'leases'],
  args: ['run_id', 'fresh_epoch', 'max_seconds', 'after_epoch', 'after_seq', 'max'],
});
export const readOperations = defineScript({
  op: 'progress.operations',
  file: file('operations'),
  role: 'state',
  keys: ['meta', 'operations'],
  args: ['before', 'max'],
  readonly: true,
});
export const readOperation = defineScript({
  op: 'progress.operation',
  file: file('operation'),
  role: 'state',
  keys: ['meta', 'operation', 'text'],
  args: [],
  readonly: true,
});
export const claimIngest = defineScript({
  op: 'progress.claim_ingest',
  file: file('claim-ingest'),
  role: 'state',
  keys: ['ingest', 'seq_channel'],
  args: ['token', 'what', 'ttl_ms'],
});
export const purgeProgress = defineScript({
  op: 'progress.purge',
  file: file('purge'),
  role: 'state',
  keys: ['meta', 'log', 'operations', 'leases', 'seq_channel'],
  args: [],
});

/** Events that one read of the log answers at most. */
const PAGE = 100;

/** An event on its way into the log. */
export interface NewEvent {
  /** Its JSON without the closing brace. */
  readonly body: string;
  readonly operationId: string | undefined;
  readonly update: OperationUpdate;
}

/** Where a message of another program stands among those that all instances hear: after which mark, and the how manieth. */
export interface Place {
  readonly mark: number;
  readonly index: number;
}

/** What follows a cursor. */
export interface LogPage {
  /** The log's last event. */
  readonly end: Cursor;
  /** In order, without a hole, or `undefined` when the cursor cannot be continued. */
  readonly events: readonly ProgressEvent[] | undefined;
  /** Operations whose promised report is overdue. */
  readonly overdue: readonly string[];
}

/** The state of operations as of one moment of the log. */
export interface OperationsPage {
  /** `undefined` when there is no log. */
  readonly at: Cursor | undefined;
  readonly operations: readonly (StoredOperation & { readonly touchedUs: number })[];
}

/** The scripts of progress, typed. */
@Injectable()
export class ProgressScripts {
  constructor(
    private readonly runner: ScriptRunner,
    private readonly keys: ProgressKeys,
    private readonly run: ServerRun,
    private readonly config: AppConfig,
  ) {}

  /** @returns the event's id, or the length of the text that its `off` lies beyond. */
  async publish(
    projectId: ProjectId,
    event: NewEvent,
    { key, fingerprint }: Idempotency,
  ): Promise<{ id: string } | { textLength: number }> {
    const ends = event.operationId !== undefined && isTerminal(event.update.status);
    const [done, result] = (await this.runner.run(ends ? finishOperation : publishEvent, {
      keys: { ...this.#streamKeys(projectId, event), idempotency: key, channel: this.keys.channel(projectId) },
      args: { ...(await this.#eventArgs(event)), fingerprint },
    })) as [number, string];
    return done === 1 ? { id: result } : { textLength: Number(result) };
  }

  /** @returns whether the message is in the log: now or since an earlier try. `false`: the lease is another's. */
  async ingest(projectId: ProjectId, event: NewEvent, token: string, { mark, index }: Place): Promise<boolean> {
    const reply = (await this.runner.run(ingestMessage, {
      keys: { ...this.#streamKeys(projectId, event), ingest: this.keys.ingest(projectId) },
      args: { ...(await this.#eventArgs(event)), token, mark, index },
    })) as [number];
    return reply[0] === 1;
  }

  /** Ends an operation when its promised report is still overdue. */
  async lose(projectId: ProjectId, event: NewEvent): Promise<void> {
    await this.runner.run(loseOperation, {
      keys: { ...this.#streamKeys(projectId, event), channel: this.keys.channel(projectId) },
      args: await this.#eventArgs(event),
    });
  }

  /** Reads on from a cursor, one page at a time; makes the log's record when there is none. */
  async read(projectId: ProjectId, after: Cursor | undefined): Promise<LogPage> {
    const [epoch, seq, overdue, continues, entries] = (await this.runner.run(readLog, {
      keys: {
        meta: this.keys.meta(projectId),
        log: this.keys.log(projectId),
        leases: this.keys.leases(projectId),
      },
      args: {
        run_id: await this.run.id(),
        fresh_epoch: freshEpoch(),
        max_seconds: this.config.PROGRESS_RETENTION_SECONDS,
        after_epoch: after?.epoch ?? '',
        after_seq: after?.seq ?? 0,
        max: PAGE,
      },
    })) as [string, string, string[], number, LogEntry[]?];
    return {
      end: { epoch, seq: Number(seq) },
      events: continues === 1 ? (entries ?? []).map((entry) => ProgressEvent.fromEntry(epoch, entry)) : undefined,
      overdue,
    };
  }

  /** @param beforeUs operations that were touched earlier than this; all when it is `undefined`. Latest first. */
  async operations(projectId: ProjectId, max: number, beforeUs?: number): Promise<OperationsPage> {
    const [epoch, seq, now, ...found] = (await this.runner.run(readOperations, {
      keys: { meta: this.keys.meta(projectId), operations: this.keys.operations(projectId) },
      args: { before: beforeUs === undefined ? '+inf' : `(${beforeUs}`, max },
    })) as [string | null, string | null, string, ...[string, string, string[]][]];
    return {
      at: position(epoch, seq),
      operations: found
        .filter(([, , fields]) => fields.length > 0)
        .map(([id, touched, fields]) => ({ ...toState(id, fields, Number(now)), touchedUs: Number(touched) })),
    };
  }

  /** @returns the operation with its text; `operation` is `undefined` when it is unknown. */
  async operation(
    projectId: ProjectId,
    operationId: string,
  ): Promise<{ at: Cursor | undefined; operation: StoredOperation | undefined }> {
    const [epoch, seq, now, fields, text] = (await this.runner.run(readOperation, {
      keys: {
        meta: this.keys.meta(projectId),
        operation: this.keys.operation(projectId, operationId),
        text: this.keys.text(projectId, operationId),
      },
      args: {},
    })) as [string | null, string | null, string, string[], string];
    return {
      at: position(epoch, seq),
      operation: fields.length > 0 ? toState(operationId, fields, Number(now), text) : undefined,
    };
  }

  /** Takes or renews the ingest lease. @returns what was logged last, and in which line, when `token` holds it now. */
  async holdIngest(
    projectId: ProjectId,
    token: string,
    ttlMs: number,
  ): Promise<{ line: string; logged: Place } | undefined> {
    const [held, line, mark, index] = await this.#claimIngest(projectId, token, 'hold', ttlMs);
    return held === 1 ? { line: line!, logged: { mark: mark!, index: index! } } : undefined;
  }

  /** Gives the ingest lease back, so that another instance takes it at once. */
  async returnIngest(projectId: ProjectId, token: string): Promise<void> {
    await this.#claimIngest(projectId, token, 'return', 0);
  }

  async purge(projectId: ProjectId): Promise<void> {
    await this.runner.run(purgeProgress, {
      keys: {
        meta: this.keys.meta(projectId),
        log: this.keys.log(projectId),
        operations: this.keys.operations(projectId),
        leases: this.keys.leases(projectId),
        seq_channel: this.keys.seqChannel(projectId),
      },
      args: {},
    });
  }

  async #claimIngest(projectId: ProjectId, token: string, what: 'hold' | 'return', ttlMs: number) {
    return (await this.runner.run(claimIngest, {
      keys: { ingest: this.keys.ingest(projectId), seq_channel: this.keys.seqChannel(projectId) },
      args: { token, what, ttl_ms: ttlMs },
    })) as [held: number, line?: string, mark?: number, index?: number];
  }

  #streamKeys(projectId: ProjectId, { operationId }: NewEvent): Record<(typeof STREAM_KEYS)[number], string> {
    return {
      meta: this.keys.meta(projectId),
      log: this.keys.log(projectId),
      operations: this.keys.operations(projectId),
      leases: this.keys.leases(projectId),
      operation: this.keys.operation(projectId, operationId),
      text: this.keys.text(projectId, operationId),
      seq_channel: this.keys.seqChannel(projectId),
    };
  }

  async #eventArgs({ body, operationId, update }: NewEvent) {
    const { status, fields, text, leaseMs } = update;
    return {
      run_id: await this.run.id(),
      fresh_epoch: freshEpoch(),
      max_events: this.config.PROGRESS_RETENTION,
      max_bytes: this.config.PROGRESS_RETENTION_BYTES,
      max_seconds: this.config.PROGRESS_RETENTION_SECONDS,
      body,
      operation_id: operationId ?? '',
      status,
      text: text?.bytes ?? '',
      off: text?.off ?? '',
      lease_ms: leaseMs ?? '',
      fields,
    };
  }
}

function position(epoch: string | null, seq: string | null): Cursor | undefined {
  return epoch === null || seq === null ? undefined : { epoch, seq: Number(seq) };
}

function freshEpoch(): string {
  return randomBytes(5).toString('hex');
}
