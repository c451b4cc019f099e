import { Command } from 'ioredis';

const NOTHING: string[] = [];

/** What `EVALSHA` of one script begins with on the wire, after the number of its parts. */
export function evalshaHead(sha: string): string {
  return `\r\n$7\r\nevalsha\r\n$${sha.length}\r\n${sha}\r\n`;
}

/**
 * `EVALSHA` of text and numbers, for `client.sendCommand`. Sends what ioredis would send for about half of its CPU: the
 * arguments are neither flattened nor made text twice, and what is the same in each call is encoded once.
 */
export class Evalsha extends Command {
  /** @param args as of the command: SHA, number of keys, keys and arguments. */
  constructor(
    private readonly head: string,
    args: (string | number)[],
    replyEncoding: BufferEncoding | null,
  ) {
    super('evalsha', NOTHING, { replyEncoding });
    this.args = args;
  }

  override toWritable(): string {
    const { args } = this;
    let text = `*${args.length + 1}${this.head}`;
    for (let i = 1; i < args.length; i += 1) {
      const arg = args[i];
      if (typeof arg === 'string') text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
      else {
        const digits = String(arg);
        text += `$${digits.length}\r\n${digits}\r\n`;
      }
    }
    return text;
  }
}
