/**
 * A Vitest reporter whose only line, the last of the run, is `N passed, N failed`. A skipped test counts as failed:
 * this project has none, and a run in which a promise was not proven must not look like one in which it was.
 */
export default class CountReporter {
  #passed = 0;
  #failed = 0;
  #mayNarrow = false;

  /** @param {import('vitest/node').Vitest} vitest */
  onInit(vitest) {
    // `-t name` skips on purpose what it was not asked for.
    this.#mayNarrow = vitest.config.testNamePattern !== undefined;
    process.once('exit', () => this.#print());
  }

  /**
   * @param {readonly import('vitest/node').TestModule[]} modules
   * @param {readonly unknown[]} unhandledErrors
   */
  onTestRunEnd(modules, unhandledErrors) {
    this.#passed = 0;
    this.#failed = unhandledErrors.length;
    for (const module of modules) {
      this.#failed += module.errors().length;
      for (const test of module.children.allTests()) this.#count(test.result().state);
    }
    if (this.#failed > 0) process.exitCode = 1;
  }

  /** @param {import('vitest/node').TestResult['state']} state */
  #count(state) {
    if (state === 'passed') this.#passed++;
    else if (state === 'failed' || !this.#mayNarrow) this.#failed++;
  }

  #print() {
    // A run that broke before its first test has failed all the same.
    if (this.#failed === 0 && process.exitCode) this.#failed = 1;
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
  }
}
