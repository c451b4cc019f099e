import { Injectable } from '@nestjs/common';
import { Command } from 'ioredis';
import { isAppError } from '../common/app-error.js';
import { monotonicMs } from '../common/time.js';
import { CALL_TIMEOUT_MS, type RedisRole } from './connection-options.js';
import { RedisClock } from './redis-clock.js';
import type { RedisClient } from './redis-connections.js';
import { RedisGateway } from './redis-gateway.js';
import { positions, type Script, type ScriptArg, type ScriptInput } from './script.js';
import { TextCommand } from './text-command.js';

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
    const args = positions(script.keys, input.keys, [script.sha, 0]);
    const keys = (args[1] = args.length - 2);
    if (!script.readonly) args.push(0);
    positions(script.args, input.args, args);
    const timeoutMs = CALL_TIMEOUT_MS + transferMs(args);
    const deadline = monotonicMs() + timeoutMs;
    const ask = (): Promise<unknown> => {
      if (!script.readonly) args[keys + 2] = this.clock.now(role) + timeoutMs;
      return this.gateway.call(role, op, (client) => evaluate(client, script, args), timeoutMs);
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

type Runnable = Pick<Script, 'sha' | 'source' | 'head' | 'buffers'>;

function evaluate(client: RedisClient, script: Runnable, args: ScriptArg[]): Promise<unknown> {
  return bySha(client, script, args).catch((error: unknown) => {
    if (!isUnknown(error)) throw error;
    return bring(client, script, args);
  });
}

async function bring(client: RedisClient, script: Runnable, args: ScriptArg[]): Promise<unknown> {
  // One call brings the text; what is in flight with it waits for that, or a restarted Redis would read it once for each.
  const sending = loading(client);
  const first = sending.get(script.sha);
  if (first === undefined) {
    const sent = byText(client, script, args).finally(() => sending.delete(script.sha));
    sending.set(script.sha, sent);
    return sent;
  }
  await first.catch(() => undefined);
  try {
    return await bySha(client, script, args);
  } catch (error) {
    // Another node of a Cluster.
    if (!isUnknown(error)) throw error;
    return byText(client, script, args);
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

function bySha(client: RedisClient, script: Runnable, args: ScriptArg[]): Promise<unknown> {
  const command = isText(args)
    ? new TextCommand(script.head, args, encoding(script))
    : new Command('evalsha', args, { replyEncoding: encoding(script) });
  return client.sendCommand(command) as Promise<unknown>;
}

function byText(client: RedisClient, script: Runnable, [, ...rest]: ScriptArg[]): Promise<unknown> {
  const command = new Command('eval', [script.source, ...rest], { replyEncoding: encoding(script) });
  return client.sendCommand(command) as Promise<unknown>;
}

function encoding({ buffers }: Runnable): BufferEncoding | null {
  return buffers ? null : 'utf8';
}

function isText(args: ScriptArg[]): args is (string | number)[] {
  return !args.some((arg) => typeof arg === 'object');
}
