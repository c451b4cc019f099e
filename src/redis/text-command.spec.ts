import { Command } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { commandHead, TextCommand } from './text-command.js';

const SHA = 'a'.repeat(40);
const EVALSHA = commandHead('evalsha', SHA);

describe('a command of text', () => {
  it.each([
    ['no keys', [SHA, 0]],
    ['text and numbers', [SHA, 1, 'proj:x:a', 0, -1, 1.5, 1_764_000_000_000, Number.MAX_SAFE_INTEGER, '', 'text']],
    ['text of many bytes a character', [SHA, 1, 'proj:x:a', 'Größe', '文書', '😀', '\u2028', '\r\n$1\r\n']],
    ['half of a pair of surrogates', [SHA, 0, '\ud83d']],
  ])('with %s stands on the wire as ioredis writes it', (_, args) => {
    const theirs = new Command('evalsha', args).toWritable({});
    const ours = new TextCommand(EVALSHA, args, 'utf8');
    expect(Buffer.from(ours.toWritable())).toEqual(Buffer.from(theirs));
  });

  it('needs no arguments in its head', () => {
    const keys = ['proj:x:a', 'proj:x:b'];
    expect(new TextCommand(commandHead('mget'), keys, null).toWritable()).toBe(
      new Command('mget', keys).toWritable({}),
    );
  });

  it('tells Cluster its keys', () => {
    const command = new TextCommand(EVALSHA, [SHA, 2, 'proj:{x}:a', 'proj:{x}:b', 7], 'utf8');
    expect(command.getKeys()).toEqual(['proj:{x}:a', 'proj:{x}:b']);
    expect(command.getSlot()).toBe(new Command('get', ['proj:{x}:a']).getSlot());
  });
});
