import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { type Chunk, chunksOf, titleOf } from './chunks.js';

/** A file as the API knows it. */
export interface Document {
  readonly id: string;
  /** Path below the folder, for people. */
  readonly path: string;
  readonly title: string;
  readonly content: string;
  /** When the file was changed, in Unix ms: an older file never replaces a newer one in the cache. */
  readonly version: number;
  readonly chunks: readonly Chunk[];
}

const TEXT_FILE = /\.(md|markdown|txt)$/i;
/** Folders of tools, and what they install or build. */
const NOT_WRITTEN_HERE = /^(\..*|node_modules|dist|coverage)$/;

/** @returns the Markdown and text files of a folder, its sub-folders too, in the order of their paths. */
export async function documentsOf(folder: string): Promise<Document[]> {
  const paths = (await filesOf(folder)).sort();
  return Promise.all(
    paths.map(async (file) => {
      const content = await readFile(file, 'utf8');
      const path = relative(folder, file).split(sep).join('/');
      return {
        id: idOf(path),
        path,
        title: titleOf(content) ?? basename(path),
        content,
        version: Math.trunc((await stat(file)).mtimeMs),
        chunks: chunksOf(content),
      };
    }),
  );
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files = await Promise.all(
    entries.map((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return NOT_WRITTEN_HERE.test(entry.name) ? [] : filesOf(path);
      return entry.isFile() && TEXT_FILE.test(entry.name) ? [path] : [];
    }),
  );
  return files.flat();
}

/**
 * @param path with `/` between its parts.
 * @returns the same id for the same path, another one for another path, and always a name that the API takes: 1 to 128
 * characters of `A-Z a-z 0-9 . _ -`.
 */
export function idOf(path: string): string {
  const plain = path.replaceAll('/', '--');
  if (/^[A-Za-z0-9._-]{1,128}$/.test(plain) && !path.includes('--')) return plain;
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 12);
  return `${plain.replace(/[^A-Za-z0-9._-]+/g, '-').slice(0, 115)}-${hash}`;
}
