import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { JWT_SECRET, newProject } from '../support/projects.js';
import { until } from '../support/until.js';

interface Said {
  readonly ready?: true;
  readonly loading?: true;
  readonly served?: number;
  readonly by?: string[];
}

/** The built application in a process of its own, which loads when told to. */
class Loading {
  readonly said: Said[] = [];
  readonly child: ChildProcess;

  constructor() {
    const redis = inject('redis');
    this.child = fork(join(import.meta.dirname, 'loading-process.mjs'), {
      env: {
        PATH: process.env['PATH'],
        LOG_LEVEL: 'fatal',
        PORT: '0',
        AUTH_JWT_SECRET: JWT_SECRET,
        REDIS_URL: redis.stateUrl,
        REDIS_CACHE_URL: redis.cacheUrl,
      },
    });
    this.child.on('message', (message) => this.said.push(message as Said));
  }

  get loads(): number {
    return this.said.filter(({ loading }) => loading).length;
  }

  async saying(what: keyof Said): Promise<Said> {
    return until(() => this.said.find((said) => said[what] !== undefined), `a process that says ${what}`, 15_000);
  }
}

let processes: Loading[];
beforeAll(async () => {
  processes = [new Loading(), new Loading(), new Loading()];
  await Promise.all(processes.map((one) => one.saying('ready')));
});
afterAll(() => processes.forEach(({ child }) => child.kill('SIGKILL')));

it('a cold key is loaded once for two processes of 50 callers each; once more when the loading process is killed', async () => {
  const [first, second, doomed] = processes as [Loading, Loading, Loading];
  const projectId = newProject();
  for (const { child } of [first, second]) child.send({ projectId, id: 'a', callers: 50, loadMs: 200 });
  const served = await Promise.all([first.saying('served'), second.saying('served')]);
  expect(served.map((said) => said.served)).toEqual([50, 50]);
  expect(first.loads + second.loads).toBe(1);
  expect(new Set(served.flatMap(({ by }) => by)).size).toBe(1);

  for (const one of processes) one.said.length = 0;
  doomed.child.send({ projectId, id: 'b', callers: 50, loadMs: -1 });
  await doomed.saying('loading');
  for (const { child } of [first, second]) child.send({ projectId, id: 'b', callers: 50, loadMs: 50 });
  doomed.child.kill('SIGKILL');
  const rest = await Promise.all([first.saying('served'), second.saying('served')]);
  expect(rest.map((said) => said.served)).toEqual([50, 50]);
  expect(first.loads + second.loads).toBe(1);
});
