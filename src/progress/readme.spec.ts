import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ownRedis } from '../../test/support/own-redis.js';
import { TestApp } from '../../test/support/app.js';
import { until } from '../../test/support/until.js';

const HELPER = /```python\n([^]*?)```/.exec(readFileSync(join(import.meta.dirname, 'README.md'), 'utf8'))![1]!;
const PYTHONS = ['python3', '/usr/bin/python3'].filter((python) => {
  try {
    execFileSync(python, ['-c', ''], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

describe('the Python helper of the README', () => {
  it('has at most ten lines of code', () => {
    const code = HELPER.split('\n').filter((line) => line !== '' && !line.startsWith('import '));
    expect(code.length).toBeLessThanOrEqual(10);
  });

  it.each(PYTHONS.slice(0, 1))('publishes once through an outage of Redis (%s)', async (python) => {
    await using server = await ownRedis();
    await using app = await TestApp.start({ servers: { state: server } });
    const editor = await app.caller('editor');
    await server.freeze();
    const program = `${HELPER}\nprint(publish("${app.url}${editor.base}", "${editor.token}", {"type": "step", "data": {}}, (0.1,) * 100))`;
    const publishing = promisify(execFile)(python, ['-c', program]);
    await until(async () => (await editor.get('/operations')).status === 503);
    await server.thaw();
    const id = (await publishing).stdout.trim();
    const entries = await app.state.xrange(`proj:${editor.projectId}:progress:log`, '-', '+');
    expect(entries.map(([, [, json]]) => JSON.parse(json!).id)).toEqual([id]);
  });
});
