import { availableParallelism } from 'node:os';
import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';
import compiler from './test/support/swc.json' with { type: 'json' };

export default defineConfig({
  // esbuild emits no decorator metadata, which dependency injection and class-transformer need.
  plugins: [swc.vite(compiler as Parameters<typeof swc.vite>[0])],
  oxc: false,
  test: {
    include: [
      'src/**/*.spec.ts',
      'test/**/*.spec.ts',
      'examples/**/src/**/*.spec.ts',
      // At full size only: `npm run soak`.
      ...(process.env['SOAK'] ? ['test/soak/*.soak.ts'] : []),
    ],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/setup.ts'],
    pool: 'forks',
    // Tests mostly wait for another process, so that two share two cores well; alone, one would take nearly twice as long.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Threads that the product starts are loaded by Node, not by Vitest.
    execArgv: ['--import', new URL('./test/support/typescript.mjs', import.meta.url).href],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    reporters: ['default', './scripts/lib/count-reporter.mjs'],
  },
});
