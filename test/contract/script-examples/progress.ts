import type { ProjectId } from '../../../src/common/project-id.js';
import { ProgressKeys } from '../../../src/progress/progress.keys.js';
import {
  claimIngest,
  finishOperation,
  ingestMessage,
  loseOperation,
  publishEvent,
  purgeProgress,
  readLog,
  readOperation,
  readOperations,
} from '../../../src/progress/progress.scripts.js';
import { ProgressService } from '../../../src/progress/progress.service.js';
import { admitStream, renewStreams } from '../../../src/progress/stream/stream-places.js';
import { exchangeTicket } from '../../../src/progress/ticket/stream-tickets.js';
import { KeyBuilder } from '../../../src/redis/key-builder.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';
import { until } from '../../support/until.js';

function keysOf(app: TestApp, projectId: ProjectId) {
  const keys = app.get(ProgressKeys);
  return {
    meta: keys.meta(projectId),
    log: keys.log(projectId),
    operations: keys.operations(projectId),
    leases: keys.leases(projectId),
    operation: keys.operation(projectId, 'a'),
    text: keys.text(projectId, 'a'),
    seq_channel: keys.seqChannel(projectId),
    channel: keys.channel(projectId),
    ingest: keys.ingest(projectId),
    idempotency: app.get(KeyBuilder).key(projectId, 'idempotency', 'progress.publish', 'x'),
  };
}

const some = <T extends object, K extends keyof T & string>(all: T, ...names: K[]): Pick<T, K> =>
  Object.fromEntries(names.map((name) => [name, all[name]])) as Pick<T, K>;

const STREAM = ['meta', 'log', 'operations', 'leases', 'operation', 'text', 'seq_channel'] as const;

/** An operation that has said something, and the next event of it. */
async function nextEvent(app: TestApp, projectId: ProjectId, off = 5) {
  const data = { text: 'so is', off: 0, done: 1, lease_seconds: 0.001 };
  await app.get(ProgressService).publish(projectId, { type: 'delta', data, operation_id: 'a' });
  const runId = (await app.state.hget(keysOf(app, projectId).meta, 'run_id'))!;
  return {
    run_id: runId,
    fresh_epoch: 'fresh',
    max_events: 100,
    max_bytes: 100_000,
    max_seconds: 60,
    body: '{"type":"x","data":{}',
    operation_id: 'a',
    status: 'running',
    text: ' it',
    off,
    lease_ms: 60_000,
    fields: ['stage', 'two'],
  };
}

export const examples: ScriptExample[] = [
  ...[publishEvent, finishOperation].map((script) =>
    example(script, {
      channels: ['seq_channel', 'channel'],
      prepare: async (app, projectId) => ({
        keys: some(keysOf(app, projectId), ...STREAM, 'idempotency', 'channel'),
        args: { ...(await nextEvent(app, projectId)), fingerprint: 'x' },
      }),
    }),
  ),
  example(ingestMessage, {
    channels: ['seq_channel'],
    prepare: async (app, projectId) => {
      const keys = some(keysOf(app, projectId), ...STREAM, 'ingest');
      await app.state.hset(keys.ingest, { token: 'holder' });
      return { keys, args: { ...(await nextEvent(app, projectId)), token: 'holder', mark: 1, index: 1 } };
    },
  }),
  example(loseOperation, {
    channels: ['seq_channel', 'channel'],
    prepare: async (app, projectId) => {
      const keys = some(keysOf(app, projectId), ...STREAM, 'channel');
      const args = await nextEvent(app, projectId);
      const lostAt = Number(await app.state.hget(keys.operation, 'lost_at'));
      const overdue = async (): Promise<boolean> => {
        const [seconds, micros] = await app.state.time();
        return Number(seconds) * 1000 + Number(micros) / 1000 > lostAt;
      };
      await until(overdue, 'the operation is overdue');
      return { keys, args: { ...args, off: '' } };
    },
  }),
  example(readLog, {
    prepare: async (app, projectId) => ({
      keys: some(keysOf(app, projectId), 'meta', 'log', 'leases'),
      args: {
        run_id: 'another',
        fresh_epoch: 'fresh',
        max_seconds: 60,
        after_epoch: '',
        after_seq: 0,
        max: 10,
      },
    }),
  }),
  example(readOperations, {
    prepare: async (app, projectId) => ({
      keys: some(keysOf(app, projectId), 'meta', 'operations'),
      args: { before: '+inf', max: 10 },
    }),
  }),
  example(readOperation, {
    prepare: async (app, projectId) => ({
      keys: some(keysOf(app, projectId), 'meta', 'operation', 'text'),
      args: {},
    }),
  }),
  example(claimIngest, {
    channels: ['seq_channel'],
    prepare: async (app, projectId) => ({
      keys: some(keysOf(app, projectId), 'ingest', 'seq_channel'),
      args: { token: 'holder', what: 'hold', ttl_ms: 5000 },
    }),
  }),
  example(exchangeTicket, {
    prepare: async (app, projectId) => {
      const keys = app.get(ProgressKeys);
      const ticket = keys.ticket(projectId, 'ticket');
      await app.state.set(ticket, '{}', 'EX', 30);
      return { keys: { ticket, cookie: keys.cookie(projectId, 'cookie') }, args: { ttl_ms: 5000 } };
    },
  }),
  example(admitStream, {
    prepare: async (app, projectId) => ({
      keys: { streams: app.get(ProgressKeys).streams(projectId) },
      args: { stream: 'mine', max: 10, ttl_ms: 5000 },
    }),
  }),
  example(renewStreams, {
    prepare: async (app, projectId) => ({
      keys: { streams: app.get(ProgressKeys).streams(projectId) },
      args: { max: 10, ttl_ms: 5000, mine: ['mine', 'mine-too'] },
    }),
  }),
  example(purgeProgress, {
    channels: ['seq_channel'],
    // A purge removes what stands under its keys, whatever it is.
    tolerates: ['meta', 'log', 'operations', 'leases'],
    prepare: async (app, projectId) => {
      await nextEvent(app, projectId);
      return { keys: some(keysOf(app, projectId), 'meta', 'log', 'operations', 'leases', 'seq_channel'), args: {} };
    },
  }),
];
