import { Command } from 'ioredis';

const NOTHING: string[] = [];

/** What is the same in each call of a command: its name and its first arguments, as they stand on the wire. */
export interface CommandHead {
  readonly name: string;
  /** How many of the arguments `text` holds. */
  readonly args: number;
  readonly text: string;
}

/** @param first the arguments that are the same each time. */
export function commandHead(name: string, ...first: string[]): CommandHead {
  const text = [name, ...first].map((part) => `\r\n$${Buffer.byteLength(part)}\r\n${part}`).join('');
  return { name, args: first.length, text: `${text}\r\n` };
}

/**
 * A command of text and numbers, for `client.sendCommand`. Sends what ioredis would send for about half of its CPU: the
 * arguments are neither flattened nor made text twice, and the head is encoded once.
 */
export class TextCommand extends Command {
  /** @param args all arguments, those of the head too. @param replyEncoding `null` for buffers. */
  constructor(
    private readonly head: CommandHead,
    args: (string | number)[],
    replyEncoding: BufferEncoding | null,
  ) {
    super(head.name, NOTHING, { replyEncoding });
    this.args = args;
  }

  override toWritable(): string {
    const { args, head } = this;
    let text = `*${args.length + 1}${head.text}`;
    for (let i = head.args; i < args.length; i += 1) {
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
