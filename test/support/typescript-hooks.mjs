import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transform } from '@swc/core';
import compiler from './swc.json' with { type: 'json' };

const SOURCES = new URL('../../src/', import.meta.url).href;

/** `x.js` is `x.ts` in the sources. */
export async function resolve(specifier, context, next) {
  const url = URL.canParse(specifier, context.parentURL) && new URL(specifier, context.parentURL);
  if (url && url.href.startsWith(SOURCES)) {
    const source = new URL(url.href.replace(/\.js$/, '.ts'));
    if (existsSync(fileURLToPath(source))) return { url: source.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.startsWith(SOURCES) || !url.endsWith('.ts')) return next(url, context);
  const filename = fileURLToPath(url);
  const { code } = await transform(await readFile(filename, 'utf8'), {
    ...compiler,
    filename,
    swcrc: false,
    sourceMaps: 'inline',
    module: { type: 'es6' },
  });
  return { format: 'module', source: code, shortCircuit: true };
}
