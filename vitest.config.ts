import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // esbuild emits no decorator metadata, which dependency injection and class-transformer need.
  plugins: [
    swc.vite({
      jsc: {
        target: 'es2023',
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
      },
    }),
  ],
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
    testTimeout: 20_000,
    hookTimeout: 30_000,
    reporters: ['default', './scripts/lib/count-reporter.mjs'],
  },
});
