// The way through the house, as ARCHITECTURE.md draws it: what may import what. `npm run lint` holds it.
const FEATURES = 'cache|quota|progress|queue|session|lock|purge|monitoring';
const TESTS = '\\.spec\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one concept, or one of them stands in the wrong place.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'common-and-config-are-the-ground',
      comment: 'Everybody may import them, so they import nobody.',
      severity: 'error',
      from: { path: '^src/(common|config)/', pathNot: TESTS },
      to: { path: '^src/', pathNot: '^src/(common|config)/' },
    },
    {
      name: 'redis-knows-no-feature',
      severity: 'error',
      from: { path: '^src/redis/', pathNot: TESTS },
      to: { path: '^src/', pathNot: '^src/(redis|common|config)/' },
    },
    {
      name: 'guard-knows-no-feature',
      comment: 'Features plug their credentials and audits in; the guard in front of all of them names none.',
      severity: 'error',
      from: { path: '^src/(auth|project-context)/', pathNot: TESTS },
      to: { path: `^src/(${FEATURES})/` },
    },
    {
      name: 'client-library-only-in-redis',
      comment: 'Keys, deadlines and error mapping live in src/redis; a client beside it would know none of them.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/redis/', TESTS] },
      to: { path: '(^|/)node_modules/(@liaoliaots/nestjs-redis|ioredis)/' },
    },
    {
      name: 'features-meet-through-services',
      comment: "Another feature's keys, scripts and records are its own affair: ask its service.",
      severity: 'error',
      from: { path: `^src/(${FEATURES})/`, pathNot: TESTS },
      to: {
        path: `^src/(${FEATURES})/`,
        pathNot: ['^src/$1/', '^src/[^/]+/[^/]+\\.(service|module|registry|decorators?)\\.ts$'],
      },
    },
    {
      name: 'controllers-speak-http-only',
      comment: 'A controller calls a service; keys, scripts and Redis stand behind that.',
      severity: 'error',
      from: { path: '\\.controller\\.ts$' },
      to: { path: ['\\.(keys|scripts)\\.ts$', '^src/redis/'] },
    },
    {
      name: 'only-modules-know-controllers',
      comment: 'Nothing flows back to the edge.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['\\.module\\.ts$', TESTS] },
      to: { path: '\\.controller\\.ts$' },
    },
    {
      name: 'keys-and-scripts-know-no-decisions',
      comment: 'They are called by services and call Redis.',
      severity: 'error',
      from: { path: '\\.(keys|scripts)\\.ts$' },
      to: { path: '\\.(service|module)\\.ts$' },
    },
    {
      name: 'keys-know-no-scripts',
      severity: 'error',
      from: { path: '\\.keys\\.ts$' },
      to: { path: '\\.scripts\\.ts$' },
    },
    {
      name: 'dtos-are-plain',
      comment: 'A DTO is the shape of a body: the OpenAPI document is made of it.',
      severity: 'error',
      from: { path: '\\.dto\\.ts$' },
      to: { path: ['\\.(service|module|keys|scripts)\\.ts$', '^src/redis/'] },
    },
    {
      name: 'product-knows-no-tests',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { path: ['^(test|bench|examples|scripts)/', TESTS] },
    },
    {
      name: 'product-has-its-packages',
      comment: 'What src needs at run time stands under `dependencies`, or the image lacks it.',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg'], dependencyTypesNot: ['type-only'] },
    },
    { name: 'imports-resolve', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    // Type imports are dependencies too: a service that needs only a controller's type still knows the controller.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { conditionNames: ['import', 'node', 'default', 'types'], exportsFields: ['exports'] },
  },
};
