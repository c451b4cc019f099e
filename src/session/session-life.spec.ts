import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { isAppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import { SessionKeys } from './session.keys.js';
import { SESSIONS_PER_USER, SessionService } from './session.service.js';

const HOUR = 3_600_000;

/** Codes of the calls that were refused. */
function refusals(settled: readonly PromiseSettledResult<unknown>[]): unknown[] {
  return settled.flatMap((result) =>
    result.status === 'rejected' ? [(result.reason as { code?: unknown }).code] : [],
  );
}

describe('the life of a session', () => {
  let app: TestApp;
  let sessions: SessionService;
  let keys: SessionKeys;
  beforeAll(async () => {
    app = await TestApp.start();
    sessions = app.get(SessionService);
    keys = app.get(SessionKeys);
  });
  afterAll(() => app.close());

  const open = (projectId: ProjectId, userId = 'anna', ttlSeconds?: number) =>
    sessions.open(projectId, { userId, role: 'editor', ttlSeconds });
  const accepted = (projectId: ProjectId, token: string, at = sessions) =>
    at.authenticate(projectId, token).then(
      () => true,
      (error: unknown) => {
        if (isAppError(error, 'unauthenticated')) return false;
        throw error;
      },
    );

  it('goes on with each request, and is written only when a tenth of it has passed', async () => {
    const projectId = newProject();
    const { session, token } = await open(projectId);
    expect((await sessions.authenticate(projectId, token)).expiresAt).toBe(session.expiresAt);

    const [index, key] = [keys.index(projectId), keys.session(projectId, session.sessionId)];
    await app.state.zadd(index, session.expiresAt - HOUR, session.sessionId);
    await app.state.pexpireat(key, session.expiresAt - HOUR);
    const { expiresAt } = await sessions.authenticate(projectId, token);
    expect(expiresAt).toBeGreaterThanOrEqual(session.expiresAt);
    expect(await app.state.pexpiretime(key)).toBe(expiresAt);
    expect(await sessions.expiresAt(projectId, session.sessionId)).toBe(expiresAt);
  });

  it('ends when no request comes', async () => {
    const projectId = newProject();
    const { session, token } = await open(projectId, 'anna', 1);
    expect(await accepted(projectId, token)).toBe(true);
    await until(async () => !(await app.state.exists(keys.session(projectId, session.sessionId))), 'the end');
    expect(await accepted(projectId, token)).toBe(false);
    expect((await sessions.list(projectId, 10)).sessions).toEqual([]);
    await expect(sessions.save(projectId, session.sessionId, 1, {})).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('ends at its limit, whatever requests come', async () => {
    await using short = await TestApp.start({ env: { SESSION_TTL_SECONDS: '2', SESSION_MAX_SECONDS: '2' } });
    const brief = short.get(SessionService);
    const projectId = newProject();
    const { session, token } = await brief.open(projectId, { userId: 'anna', role: 'viewer' });
    await until(async () => !(await accepted(projectId, token, brief)), 'the limit');
    const [seconds, micros] = await app.state.time();
    expect(Number(seconds) * 1000 + Number(micros) / 1000).toBeGreaterThanOrEqual(session.createdAt + 2000);
    expect(await app.keysOf(projectId).then((found) => found.filter((key) => key.endsWith(session.sessionId)))).toEqual(
      [],
    );
  });

  it('never outlasts its limit, though its own TTL is longer than what is left', async () => {
    const projectId = newProject();
    const { session, token } = await open(projectId);
    const key = keys.session(projectId, session.sessionId);
    await app.state.hset(key, 'until', session.expiresAt + 1000);
    await app.state.zadd(keys.index(projectId), session.expiresAt - HOUR, session.sessionId);
    await app.state.hset(key, 'ttl', 10 * HOUR);
    expect((await sessions.authenticate(projectId, token)).expiresAt).toBe(session.expiresAt + 1000);
  });

  it('is over for the oldest of a user when there is one too many', async () => {
    const projectId = newProject();
    const other = await open(projectId, 'bert');
    const opened = [];
    for (let i = 0; i <= SESSIONS_PER_USER; i += 1) opened.push(await open(projectId));
    const alive = await Promise.all(opened.map(({ token }) => accepted(projectId, token)));
    expect(alive).toEqual([false, ...Array.from({ length: SESSIONS_PER_USER }, () => true)]);
    expect(await accepted(projectId, other.token)).toBe(true);
  });

  it('is over for all beyond the cap under 50 parallel log-ins', async () => {
    const projectId = newProject();
    const opened = await Promise.all(Array.from({ length: 50 }, () => open(projectId)));
    const alive = await Promise.all(opened.map(({ token }) => accepted(projectId, token)));
    expect(alive.filter(Boolean)).toHaveLength(SESSIONS_PER_USER);
    expect(await app.state.zcard(keys.index(projectId))).toBe(SESSIONS_PER_USER);
    expect(await app.state.zcard(keys.user(projectId, 'anna'))).toBe(SESSIONS_PER_USER);
    expect(await app.keysOf(projectId)).toHaveLength(SESSIONS_PER_USER + 2);
  });

  it('does not count sessions that have expired, and keeps none in its indexes', async () => {
    const projectId = newProject();
    const brief = await Promise.all(Array.from({ length: SESSIONS_PER_USER - 1 }, () => open(projectId, 'anna', 1)));
    const long = await open(projectId);
    await until(async () => (await app.keysOf(projectId)).length === 3, 'the end of the brief ones');
    await open(projectId);
    expect(await accepted(projectId, long.token)).toBe(true);
    for (const index of [keys.index(projectId), keys.user(projectId, 'anna')]) {
      expect(await app.state.zcard(index)).toBe(2);
      for (const { session } of brief) expect(await app.state.zscore(index, session.sessionId)).toBeNull();
    }
  });

  it('is over after a log-out, whatever touches and writes race with it: no key comes back', async () => {
    const projectId = newProject();
    const { session, token } = await open(projectId);
    const { sessionId } = session;
    // So near to its end that each touch wants to write.
    await app.state.zadd(keys.index(projectId), session.expiresAt - HOUR, sessionId);
    const settled = await Promise.allSettled(
      Array.from({ length: 200 }, (_, i) => {
        if (i === 60 || i === 140) return sessions.end(projectId, sessionId);
        return i % 2 === 0
          ? sessions.authenticate(projectId, token)
          : sessions.save(projectId, sessionId, (i + 1) / 2, { i });
      }),
    );
    for (const code of refusals(settled)) expect(['unauthenticated', 'conflict']).toContain(code);
    expect(await app.keysOf(projectId)).toEqual([keys.ended(projectId, sessionId)]);
    expect(await accepted(projectId, token)).toBe(false);
  });

  it('leaves nothing behind over 1,000 races of log-out, touch, save and rotation', async () => {
    const projectId = newProject();
    for (let batch = 0; batch < 20; batch += 1) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const userId = `user-${i}`;
          const { session, token } = await sessions.open(projectId, { userId, role: 'viewer' });
          await app.state.zadd(keys.index(projectId), session.expiresAt - HOUR, session.sessionId);
          const race = [
            () => sessions.end(projectId, session.sessionId),
            () => sessions.authenticate(projectId, token),
            () => sessions.save(projectId, session.sessionId, 1, { i }),
            () => sessions.rotate(projectId, token, { userId, role: 'editor' }),
          ].sort(() => Math.random() - 0.5);
          await Promise.allSettled(race.map((step) => step()));
          expect(await app.state.exists(keys.session(projectId, session.sessionId))).toBe(0);
        }),
      );
    }
    expect(await app.state.zcard(keys.index(projectId))).toBe(0);
  });

  it('takes one of many concurrent changes, and tells the others', async () => {
    const projectId = newProject();
    const { session } = await open(projectId);
    const settled = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => sessions.save(projectId, session.sessionId, 1, { i })),
    );
    const saved = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(saved).toHaveLength(1);
    expect(await sessions.read(projectId, session.sessionId)).toEqual(saved[0]);
    expect(refusals(settled)).toEqual(Array.from({ length: 49 }, () => 'conflict'));
  });

  it('leaves no key without a TTL', async () => {
    const projectId = newProject();
    const [first, second] = [await open(projectId), await open(projectId, 'bert')];
    await sessions.authenticate(projectId, first.token);
    await sessions.save(projectId, first.session.sessionId, 1, { a: 1 });
    await sessions.end(projectId, second.session.sessionId);
    const found = await app.keysOf(projectId);
    expect(found).toHaveLength(4);
    for (const key of found) expect(await app.state.pttl(key), key).toBeGreaterThan(0);
  });
});
