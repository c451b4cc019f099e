import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { takeMark } from './mark.mjs';
import { ROOT, ensureBuild, ensurePackages, isCurrent, run } from './prepare.mjs';

const EXAMPLE = 'examples/embeddings';
const MODEL = 'the language model of examples/embeddings (a download of about 110 MB, 300 MB on disk)';

/** Installs and builds the product, and examples/embeddings, which compiles against it. */
export async function ensureExample() {
  // A demo and a worker may be started at the same time.
  let done = await takeMark('prepare');
  for (; !done; done = await takeMark('prepare')) await pause(200);
  try {
    ensurePackages();
    ensureBuild();
    ensurePackages(join(ROOT, EXAMPLE), MODEL);
    const sources = [`${EXAMPLE}/src`, `${EXAMPLE}/tsconfig.json`, 'dist/main.js'];
    if (isCurrent(`${EXAMPLE}/dist/worker.js`, sources)) return;
    console.error('Building examples/embeddings …');
    run('node_modules/.bin/tsc', ['-p', EXAMPLE], 'The build of examples/embeddings failed (see above).');
  } finally {
    done();
  }
}

/**
 * Imports a module of the built example; the import is computed, because before the build there is nothing to check it
 * against.
 *
 * @param {string} file
 */
export function importExample(file) {
  return import(pathToFileURL(join(ROOT, EXAMPLE, 'dist', file)).href);
}
