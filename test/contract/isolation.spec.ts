import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PROJECT_BASE, RouteAudit } from '../../src/project-context/route-audit.js';
import { type Caller, TestApp } from '../support/app.js';
import { until } from '../support/until.js';
import { type Memo, type Step, STEPS } from './isolation-steps.js';

/** Bytes and persistence of all keys of a project: what must not change when another project is used. */
async function picture(app: TestApp, projectId: string): Promise<Record<string, string>> {
  const entries = await Promise.all(
    (await app.keysOf(projectId)).map(async (key) => {
      const server = (await app.state.exists(key)) ? app.state : app.cache;
      const bytes = await server.dumpBuffer(key);
      const ttl = (await server.pttl(key)) > 0 ? 'expires' : 'stays';
      return [
        key,
        `${ttl} ${createHash('sha256')
          .update(bytes ?? 'gone')
          .digest('hex')}`,
      ] as const;
    }),
  );
  return Object.fromEntries(entries);
}

async function walk(caller: Caller, steps: readonly Step[]): Promise<string> {
  const memo: Memo = { marker: `marker-${caller.projectId}`, jobs: [] };
  let transcript = '';
  for (const step of steps) {
    const answer = await step.call(caller, memo);
    expect(`${step.route} ${answer.status} ${answer.status === step.status ? '' : answer.text}`).toBe(
      `${step.route} ${step.status} `,
    );
    step.learn?.(answer.body as never, memo);
    transcript += `${JSON.stringify(answer.headers)}\n${answer.text}\n`;
  }
  return transcript;
}

describe('the isolation of projects', () => {
  let app: TestApp;
  let logs = '';
  beforeAll(async () => {
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      logs += String(chunk);
      return true;
    });
    app = await TestApp.start({ env: { LOG_LEVEL: 'debug' } });
  });
  afterAll(async () => {
    await app.close();
    vi.restoreAllMocks();
  });

  it('walks every route that the application has', () => {
    const routes = app
      .get(RouteAudit)
      .routes()
      .filter((route) => !route.public)
      .map((route) => `${route.method} ${route.path.slice(PROJECT_BASE.length).replace(/:(\w+)/g, '{$1}')}`);
    expect([...new Set(STEPS.map((step) => step.route))].sort()).toEqual([...new Set(routes)].sort());
  });

  it('leaves every byte of B alone, and shows none of it, while every route is driven for A with the same names', async () => {
    const b = await app.caller('owner');
    await walk(
      b,
      STEPS.filter((step) => step.fills),
    );
    const before = await picture(app, b.projectId);
    expect(Object.keys(before).length).toBeGreaterThan(10);
    logs = '';

    const a = await app.caller('owner');
    const transcript = await walk(a, STEPS);
    await until(async () => (await app.keysOf(a.projectId)).length === 0, 'A is purged');

    expect(await picture(app, b.projectId)).toEqual(before);
    const metrics = (await app.anonymous.get('/metrics').expect(200)).text;
    for (const [what, text] of Object.entries({ transcript, logs, metrics }))
      expect(text, what).not.toContain(b.projectId);
    expect(metrics).not.toContain(a.projectId);
    expect(logs).toContain(a.projectId);
    expect(logs).not.toContain(a.token);
  });

  it('gives no key of B a longer life than its TTL, but undone work and settings', async () => {
    const b = await app.caller('owner');
    await walk(
      b,
      STEPS.filter((step) => step.fills),
    );
    const eternal = Object.entries(await picture(app, b.projectId)).flatMap(([key, value]) =>
      value.startsWith('stays') ? [key.slice(`proj:${b.projectId}:`.length)] : [],
    );
    expect(eternal.filter((key) => !/^(config:|queue:)/.test(key))).toEqual([]);
  });

  it('refuses a good token of A on every route of B', async () => {
    const [a, b] = [await app.caller('owner'), await app.caller('owner')];
    const thief: Caller = { ...(await app.caller('owner', b.projectId)) };
    for (const method of ['get', 'put', 'post', 'patch', 'delete'] as const) {
      thief[method] = (path) => app.anonymous[method](b.base + path).set('Authorization', `Bearer ${a.token}`);
    }
    const memo: Memo = {
      marker: 'm',
      jobs: [{ job_id: 'j', lease_token: 't' }],
      reservation: 'r',
      lock: 'l',
      session: { id: 's', token: 't' },
    };
    for (const step of STEPS) {
      const answer = await step.call(thief, memo);
      // Steps that send a session send one that B does not know.
      expect([401, 403], step.route).toContain(answer.status);
    }
    expect(await app.keysOf(b.projectId)).toEqual([]);
  });

  it('mixes not one byte into the answers of 1,000 concurrent requests of two projects', async () => {
    const callers = await Promise.all([app.caller('owner'), app.caller('owner')]);
    for (const caller of callers) {
      await caller
        .put('/documents/same')
        .send({ title: caller.projectId, content: caller.projectId.repeat(20), version: 1 })
        .expect(200);
    }
    const answers = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const caller = callers[i % 2]!;
        const answer =
          i % 4 < 2
            ? await caller.get('/documents/same')
            : await caller
                .post('/progress')
                .send({ type: 'note', data: { message: `${caller.projectId} ${randomUUID()}` } });
        return { caller, status: answer.status, text: answer.text + JSON.stringify(answer.headers) };
      }),
    );
    expect(answers.filter(({ status }) => status !== 503).length).toBeGreaterThan(100);
    for (const { caller, status, text } of answers) {
      // A machine on which Redis takes more than its deadline answers 503; that must not show a foreign byte either.
      expect([200, 202, 503]).toContain(status);
      expect(text).not.toContain(callers.find((other) => other !== caller)!.projectId);
    }
  });
});
