import { spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'clock-shim.c');

/**
 * The clock of other processes, in the test's hand: start them with {@link env}. It needs Linux and a C compiler, which is
 * installed when there is none and the machine lets us, as redis-server is.
 */
export class Clock implements Disposable {
  readonly #file = join(tmpdir(), `document-api-clock-${randomUUID()}`);
  readonly #fd = openSync(this.#file, 'w');
  readonly #library = shimLibrary();
  #offsetMs = 0;
  #stillAtMs: number | undefined;

  /** @param shifts which clock of the process: the one that tells the date, or the one that only measures. */
  constructor(private readonly shifts: 'realtime' | 'monotonic') {
    this.#write();
  }

  /** The environment that puts a process on this clock. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, CLOCK_SHIM_FILE: this.#file, CLOCK_SHIM_SHIFTS: this.shifts };
  }

  /** Where a clock that stands still stands, in Unix ms. */
  get stillAt(): number {
    if (this.#stillAtMs === undefined) throw new Error('the clock goes on');
    return this.#stillAtMs;
  }

  /** Lets it stand still at a moment, in Unix ms. */
  standStill(atMs: number): void {
    this.#stillAtMs = atMs;
    this.#write();
  }

  /** Forward, or back. */
  step(ms: number): void {
    if (this.#stillAtMs === undefined) this.#offsetMs += ms;
    else this.#stillAtMs += ms;
    this.#write();
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.#file, { force: true });
  }

  #write(): void {
    const micros = (ms: number): bigint => BigInt(Math.round(ms * 1000));
    writeSync(this.#fd, new BigInt64Array([micros(this.#offsetMs), micros(this.#stillAtMs ?? 0)]), 0, 16, 0);
  }
}

/** @returns the path of the compiled shim; processes that need it at once do no harm to each other. */
function shimLibrary(): string {
  const version = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16);
  const library = join(tmpdir(), `document-api-clock-shim-${process.getuid?.() ?? 0}-${version}.so`);
  if (existsSync(library)) return library;
  if (process.platform !== 'linux') throw new Error('Tests that move the clock need Linux: run them in a container.');
  const fresh = `${library}.${randomUUID()}`;
  const compile = (): ReturnType<typeof spawnSync> =>
    spawnSync('cc', ['-O2', '-shared', '-fPIC', '-o', fresh, SOURCE], { encoding: 'utf8' });
  let built = compile();
  if (built.error) {
    installCompiler();
    built = compile();
  }
  if (built.status !== 0) throw new Error(`cc failed: ${built.error?.message ?? String(built.stderr)}`);
  renameSync(fresh, library);
  return library;
}

// The lock lets one of several test processes install while the others wait.
const INSTALL = `
  exec 9>/var/lock/install-compiler
  flock 9
  command -v cc >/dev/null && exit 0
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends gcc libc6-dev
`;

function installCompiler(): void {
  const command = process.getuid?.() === 0 ? ['sh'] : ['sudo', '-n', 'sh'];
  const { status, error, stderr } = spawnSync(command[0]!, [...command.slice(1), '-euc', INSTALL], {
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new Error(
      `Tests that move the clock need a C compiler, and installing gcc failed: ${error?.message ?? stderr}`,
    );
}
