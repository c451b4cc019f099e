import { expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { Closing } from './closing.js';

it('answers 503 as a problem document while the process stops', async () => {
  await using app = await TestApp.start();
  const owner = await app.caller('owner');
  app.get(Closing).onModuleDestroy();
  const { body, headers } = await owner.get('/locks/a').expect(503);
  expect(body).toMatchObject({ status: 503, code: 'redis_unavailable', detail: 'The service is shutting down.' });
  expect(headers).toMatchObject({ 'retry-after': '1', connection: 'close' });
});
