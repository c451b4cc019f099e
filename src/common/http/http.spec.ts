import { type AddressInfo, connect } from 'node:net';
import { Get, Module, Post } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { ProjectController } from '../../project-context/project-controller.decorator.js';
import { Requires } from '../../project-context/project.decorators.js';
import { AppError } from '../app-error.js';
import { ERROR_CODES, type ErrorCode } from '../error-codes.js';

const SECRET_OF_A_BUG = 'the text of an unexpected error with redis://user:password@host';

/** Throws whatever is asked for. */
@ProjectController('failing')
class FailingController {
  @Get('bug')
  @Requires('read')
  bug(): never {
    throw new TypeError(SECRET_OF_A_BUG);
  }

  @Get('no-error')
  @Requires('read')
  noError(): never {
    // oxlint-disable-next-line no-throw-literal -- a library may do it
    throw SECRET_OF_A_BUG;
  }

  @Get('known')
  @Requires('read')
  known(): never {
    throw new AppError('rate_limited', 'test.known', 'Too much.', {
      cause: new Error(SECRET_OF_A_BUG),
      rule: 'chat',
      retryAfterSeconds: 1.2,
      members: { extra: 1 },
      headers: { 'X-Test': 'yes' },
    });
  }

  @Post('echo')
  @Requires('read')
  echo(): object {
    return {};
  }
}

@Module({ controllers: [FailingController] })
class FailingModule {}

describe('HTTP', () => {
  let app: TestApp;
  let owner: Caller;
  beforeAll(async () => {
    app = await TestApp.start({
      extensions: [FailingModule],
      env: { CORS_ORIGINS: 'https://app.test', BODY_LIMIT_BYTES: '10000' },
    });
    owner = await app.caller('owner');
  });
  afterAll(() => app.close());

  describe('a problem', () => {
    it.each<[what: string, code: ErrorCode, send: () => ReturnType<Caller['get']>]>([
      ['an unknown route', 'not_found', () => app.anonymous.get('/nothing?ticket=secret')],
      ['an unknown route of a project', 'not_found', () => owner.get('/nothing')],
      ['broken JSON', 'validation_failed', () => owner.post('/locks/a').type('json').send('{"ttl_ms":')],
      ['JSON that is no object', 'validation_failed', () => owner.post('/locks/a').type('json').send('5')],
      ['a list for a body', 'validation_failed', () => owner.post('/locks/a').send([])],
      ['a body that is too large', 'payload_too_large', () => owner.post('/locks/a').send({ a: 'x'.repeat(10_001) })],
      ['a form', 'unsupported_media_type', () => owner.post('/locks/a').type('form').send('ttl_ms=500')],
      ['text', 'unsupported_media_type', () => owner.post('/locks/a').type('text').send('{"ttl_ms":500}')],
      ['no media type', 'unsupported_media_type', () => owner.post('/locks/a').set('Content-Type', '').send('{}')],
      [
        'another charset',
        'unsupported_media_type',
        () => owner.post('/locks/a').type('json; charset=latin1').send('{}'),
      ],
      ['a path that cannot be decoded', 'validation_failed', () => owner.post('/locks/%ZZ').send({})],
      ['a broken rule', 'validation_failed', () => owner.post('/locks/a').send({ ttl_ms: 5 })],
      ['a bug', 'internal_error', () => owner.get('/failing/bug')],
      ['a thrown text', 'internal_error', () => owner.get('/failing/no-error')],
    ])('answers %s: %s, without a word about our inside', async (_what, code, send) => {
      const { status, headers, body, text } = await send();
      expect(status).toBe(ERROR_CODES[code].status);
      expect(headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(headers['cache-control']).toBe('no-store');
      expect(body).toMatchObject({
        type: `urn:problem:${code}`,
        title: ERROR_CODES[code].title,
        status,
        code,
        detail: expect.any(String),
        instance: expect.stringMatching(/^\/[^?]+$/),
      });
      for (const inside of [
        '    at ',
        'node_modules',
        '.ts:',
        '.js:',
        'SyntaxError',
        SECRET_OF_A_BUG,
        'secret',
        'proj:',
      ]) {
        expect(text).not.toContain(inside);
      }
    });

    it('names the fields that broke their rules, the body when it is no JSON, and the unknown ones', async () => {
      const fields = async (request: ReturnType<Caller['get']>): Promise<string[]> => {
        const errors = (await request.expect(400)).body.errors as { field: string; message: string }[];
        expect(errors.every(({ message }) => message.length > 0)).toBe(true);
        return [...new Set(errors.map(({ field }) => field))].sort();
      };
      expect(await fields(owner.post('/locks/a').send({ wait_ms: -1, colour: 'red' }))).toEqual([
        'colour',
        'ttl_ms',
        'wait_ms',
      ]);
      expect(await fields(owner.post('/locks/a').type('json').send('{'))).toEqual(['body']);
      expect(await fields(owner.post('/locks/a%20b').send({ ttl_ms: 500 }))).toEqual(['name']);
      expect(await fields(app.anonymous.get('/v1/projects/none/stats') as never)).toEqual(['project_id']);
    });

    it('carries the rule, the time to wait in whole seconds, and what else belongs to it, but not its cause', async () => {
      const { headers, body, text } = await owner.get('/failing/known').expect(429);
      expect(headers).toMatchObject({ 'retry-after': '2', 'x-test': 'yes' });
      expect(body).toMatchObject({ rule: 'chat', extra: 1, detail: 'Too much.' });
      expect(text).not.toContain(SECRET_OF_A_BUG);
    });
  });

  describe('a body', () => {
    it.each([
      ['missing', () => owner.post('/failing/echo')],
      ['empty', () => owner.post('/failing/echo').set('Content-Length', '0')],
      ['JSON of a vendor', () => owner.post('/failing/echo').type('application/vnd.test+json').send('{}')],
      ['JSON with a charset', () => owner.post('/failing/echo').type('application/json; charset=UTF-8').send('{}')],
    ])('may be %s', async (_what, send) => {
      await send().expect(201);
    });
  });

  describe('an answer', () => {
    it('carries the id of its request: the given one if it is a name, else a new one', async () => {
      const id = async (given?: string): Promise<string> => {
        const request = app.anonymous.get('/nothing');
        return (await (given === undefined ? request : request.set('X-Request-Id', given))).headers[
          'x-request-id'
        ] as string;
      };
      expect(await id('abc.1-2_3')).toBe('abc.1-2_3');
      expect(await id('a b')).toMatch(/^[\w-]{12,24}$/);
      expect(await id('a'.repeat(129))).toMatch(/^[\w-]{12,24}$/);
      expect(await id()).not.toBe(await id());
    });

    it('tells browsers to be careful, and not what we are made of', async () => {
      const { headers } = await app.anonymous.get('/health/live').expect(200);
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'SAMEORIGIN',
        'referrer-policy': 'no-referrer',
        'strict-transport-security': expect.stringContaining('max-age='),
      });
      expect(headers).not.toHaveProperty('x-powered-by');
      expect(headers).not.toHaveProperty('server');
    });

    it('may be read by pages on the allow-list, and by no other', async () => {
      const from = async (origin: string) => (await app.anonymous.get('/health/live').set('Origin', origin)).headers;
      const allowed = await from('https://app.test');
      expect(allowed['access-control-allow-origin']).toBe('https://app.test');
      expect(allowed['access-control-allow-credentials']).toBe('true');
      expect(allowed['access-control-expose-headers']).toContain('Retry-After');
      for (const origin of ['https://evil.test', 'https://app.test.evil.test', 'http://app.test', 'null']) {
        expect(await from(origin), origin).not.toHaveProperty('access-control-allow-origin');
      }
      expect(allowed['vary']).toContain('Origin');
    });

    it('lets a page on the allow-list ask before a write', async () => {
      const ask = (origin: string) =>
        app.anonymous.options(`${owner.base}/locks/a`).set({
          Origin: origin,
          'Access-Control-Request-Method': 'DELETE',
          'Access-Control-Request-Headers': 'lock-token',
        });
      const { headers } = await ask('https://app.test').expect(204);
      expect(headers['access-control-allow-methods']).toContain('DELETE');
      expect(headers['access-control-allow-headers']).toBe('lock-token');
      expect((await ask('https://evil.test')).headers).not.toHaveProperty('access-control-allow-origin');
    });
  });

  it('survives a client that goes away in the middle of its body', async () => {
    const { port } = app.nest.getHttpServer().address() as AddressInfo;
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(
          `POST ${owner.base}/locks/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{`,
        );
        socket.destroy();
        resolve();
      });
    });
    await app.anonymous.get('/health/live').expect(200);
  });
});
