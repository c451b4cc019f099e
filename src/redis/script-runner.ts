import { Injectable } from '@nestjs/common';
import { isAppError } from '../common/app-error.js';
import { monotonicMs } from '../common/time.js';
import { CALL_TIMEOUT_MS, type RedisRole } from './connection-options.js';
import { RedisClock } from './redis-clock.js';
import type { RedisClient } from './redis-connections.js';
import { RedisGateway } from './redis-gateway.js';
import { positions, type Script, type ScriptArg, type ScriptInput } from './script.js';

const BYTES_PER_MS = 4096;

/**
 * Runs scripts by their SHA (`EVALSHA`), and by their text when Redis does not know them yet (`NOSCRIPT`: nothing has run).
 * A mutating script gets as `ARGV[1]` the Redis time after which it must do nothing: `CALL_TIMEOUT_MS` from now, and one
 * millisecond more for every 4 KiB that it brings.
 */
@Injectable()
export class ScriptRunner {
  constructor(
    private readonly gateway: RedisGateway,
    private readonly clock: RedisClock,
  ) {}

  /** Sends what was asked in this turn, instead of at its end. */
  flush(role: RedisRole): void {
    this.gateway.flush(role);
  }

  /**
   * @returns the raw reply; the feature's wrapper gives it a type.
   * @throws AppError as {@link RedisGateway.call}.
   */
  run<K extends readonly string[], A extends readonly string[]>(
    script: Script<K, A>,
    input: ScriptInput<K, A>,
  ): Promise<unknown> {
    const { role, op } = script;
    const rest = positions(script.keys, input.keys);
    const keys = rest.length;
    if (!script.readonly) rest.push(0);
    positions(script.args, input.args, rest);
    const timeoutMs = CALL_TIMEOUT_MS + transferMs(rest);
    const deadline = monotonicMs() + timeoutMs;
    const ask = (): Promise<unknown> => {
      if (!script.readonly) rest[keys] = this.clock.now(role) + timeoutMs;
      return this.gateway.call(role, op, (client) => evaluate(client, script, keys, rest), timeoutMs);
    };
    return ask().catch(async (error: unknown) => {
      if (!saidLate(error) || monotonicMs() >= deadline) throw error;
      // It was in time by our clock: that of Redis has stepped. The script has done nothing, so it is asked once more.
      await this.gateway.call(role, op, () => this.clock.sync(role));
      return ask();
    });
  }
}

/** A document of some megabytes on a link of 32 Mbit/s must not be late by its size alone. */
function transferMs(args: readonly ScriptArg[]): number {
  let bytes = 0;
  for (const arg of args) if (typeof arg !== 'number') bytes += arg.length;
  return Math.floor(bytes / BYTES_PER_MS);
}

function saidLate(error: unknown): boolean {
  return isAppError(error, 'redis_unavailable') && String((error.details.cause as Error)?.message).startsWith('LATE');
}

// ioredis makes a `…Buffer` twin of every command, but its types leave these two out.
interface BufferCommands {
  evalshaBuffer(sha: string, keys: number, ...rest: ScriptArg[]): Promise<unknown>;
  evalBuffer(source: string, keys: number, ...rest: ScriptArg[]): Promise<unknown>;
}

type Runnable = Pick<Script, 'sha' | 'source' | 'buffers'>;

function evaluate(client: RedisClient, script: Runnable, keys: number, rest: ScriptArg[]): Promise<unknown> {
  return send(client, script, 'sha', keys, rest).catch((error: unknown) => {
    if (!isUnknown(error)) throw error;
    return bring(client, script, keys, rest);
  });
}

async function bring(client: RedisClient, script: Runnable, keys: number, rest: ScriptArg[]): Promise<unknown> {
  // One call brings the text; what is in flight with it waits for that, or a restarted Redis would read it once for each.
  const sending = loading(client);
  const first = sending.get(script.sha);
  if (first === undefined) {
    const sent = send(client, script, 'source', keys, rest).finally(() => sending.delete(script.sha));
    sending.set(script.sha, sent);
    return sent;
  }
  await first.catch(() => undefined);
  try {
    return await send(client, script, 'sha', keys, rest);
  } catch (error) {
    // Another node of a Cluster.
    if (!isUnknown(error)) throw error;
    return send(client, script, 'source', keys, rest);
  }
}

// Texts on their way, by client and SHA.
const texts = new WeakMap<RedisClient, Map<string, Promise<unknown>>>();

function loading(client: RedisClient): Map<string, Promise<unknown>> {
  let ofClient = texts.get(client);
  if (!ofClient) texts.set(client, (ofClient = new Map()));
  return ofClient;
}

function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

function send(
  client: RedisClient,
  script: Runnable,
  by: 'sha' | 'source',
  keys: number,
  rest: ScriptArg[],
): Promise<unknown> {
  const binary = client as unknown as BufferCommands;
  if (by === 'sha')
    return script.buffers
      ? binary.evalshaBuffer(script.sha, keys, ...rest)
      : (client.evalsha(script.sha, keys, ...rest) as Promise<unknown>);
  return script.buffers
    ? binary.evalBuffer(script.source, keys, ...rest)
    : (client.eval(script.source, keys, ...rest) as Promise<unknown>);
}
