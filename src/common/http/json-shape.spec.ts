import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';

describe('the shape of a body', () => {
  let app: TestApp;
  let owner: Caller;
  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.caller('owner');
  });
  afterAll(() => app.close());
  const post = (body: string) => owner.post('/sessions').set('Content-Type', 'application/json').send(body);

  it.each([65, 5000, 200_000])('is refused when it is nested %i levels deep, naming the place', async (depth) => {
    const { body } = await post(`{"data":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`).expect(400);
    expect(body.code).toBe('validation_failed');
    expect(body.errors[0].field).toMatch(/^data\.a/);
  });

  it.each(['__proto__', 'constructor', 'prototype'])(
    'is refused when it names %s: nothing is dropped silently',
    async (name) => {
      const { body } = await post(`{"data":{"x":[{"${name}":1}]}}`).expect(400);
      expect(body.errors).toEqual([{ field: `data.x.0.${name}`, message: 'is a reserved name' }]);
    },
  );

  it('may be nested sixty levels deep', async () => {
    await post(`{"data":${'{"a":'.repeat(60)}1${'}'.repeat(60)}}`).expect(201);
  });
});
