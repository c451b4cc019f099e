import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { getMetadataStorage } from 'class-validator';
import { describe, expect, it } from 'vitest';
import { AppConfig } from '../../src/config/app-config.js';

const root = resolve(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const SKIPPED = /^(\.|node_modules$|dist$)/;
const walk = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isFile()) return [path];
    return entry.isDirectory() && !SKIPPED.test(entry.name) ? walk(path) : [];
  });
const files = walk('');
const pages = files.filter((path) => path.endsWith('.md'));

/** The text without its code, in which brackets are no links. */
const prose = (page: string): string =>
  read(page)
    .replace(/^```[\s\S]*?^```/gm, '')
    .replace(/`[^`\n]*`/g, '``');

/** The anchors that GitHub makes of a page's headings. */
function anchors(page: string): Set<string> {
  const headings = read(page)
    .replace(/^```[\s\S]*?^```/gm, '')
    .matchAll(/^#{1,6} +(.+)$/gm);
  return new Set(
    [...headings].map(([, text]) =>
      text!
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-'),
    ),
  );
}

describe('the documents', () => {
  it.each(pages)('%s links to nothing that is not there', (page) => {
    const broken = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => {
      if (/^[a-z]+:/.test(target!)) return [];
      const [path, anchor] = target!.split('#') as [string, string?];
      const file = path === '' ? page : relative(root, resolve(root, dirname(page), path));
      if (!existsSync(join(root, file))) return [target];
      return anchor !== undefined && !anchors(file).has(anchor) ? [target] : [];
    });
    expect(broken).toEqual([]);
  });

  const settings = [
    ...new Set(
      getMetadataStorage()
        .getTargetValidationMetadatas(AppConfig, '', false, false)
        .map(({ propertyName }) => propertyName),
    ),
  ];

  it.each(['docs/operations.md', '.env.example'])('%s tells of every setting', (page) => {
    const text = read(page);
    expect(settings.length).toBeGreaterThan(30);
    expect(settings.filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
  });

  it('.env.example shows the default of every setting that is a word or a number', () => {
    const shown = new Map([...read('.env.example').matchAll(/^#?([A-Z_0-9]+)=(.*)$/gm)].map(([, k, v]) => [k!, v!]));
    const wrong = Object.entries(new AppConfig()).filter(([name, value]) => {
      const texts = value === false ? ['false', 'off'] : [String(value)];
      return ['number', 'string', 'boolean'].includes(typeof value) && !texts.includes(shown.get(name) ?? '');
    });
    expect(wrong).toEqual([]);
  });

  it.each(files.filter((path) => /^src\/[a-z-]+\/[a-z-]+\.keys\.ts$/.test(path)))(
    '%s makes no key that the README of its feature does not list',
    (file) => {
      const readme = read(join(dirname(file), 'README.md'));
      const calls = [...read(file).matchAll(/\bkey\(([^()]*)\)/g)].map(([, args]) => args!);
      const words = calls.flatMap((args) => [...args.matchAll(/'([a-z-]+)'/g)].map(([, word]) => word!));
      expect(words.length).toBeGreaterThan(0);
      expect([...new Set(words)].filter((word) => !new RegExp(`\\b${word}\\b`).test(readme))).toEqual([]);
    },
  );
});
