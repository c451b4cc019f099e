import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

describe('kinds of use', () => {
  let app: TestApp;
  let quotas: QuotaService;
  let reservations: ReservationService;
  beforeAll(async () => {
    app = await TestApp.start({
      env: {
        QUOTAS: JSON.stringify({
          tokens: { limits: { day: 1000 }, kinds: { input: 1, output: 1, cached_input: 0.1 } },
        }),
      },
    });
    quotas = app.get(QuotaService);
    reservations = app.get(ReservationService);
  });
  afterAll(() => app.close());

  const today = async (projectId: ReturnType<typeof newProject>) =>
    (await quotas.usage(projectId, 'tokens', { granularity: 'day' })).at(-1);

  it('are charged by their weight, rounded up, and counted each for itself in the series', async () => {
    const projectId = newProject();
    const state = await quotas.consume(projectId, 'tokens', 0, { kinds: { input: 100, cached_input: 305 } });
    expect(state.windows[0]!.used).toBe(131);
    await quotas.consume(projectId, 'tokens', 9, { kinds: { output: 10, input: 1 } });
    expect(await today(projectId)).toMatchObject({ used: 151, kinds: { input: 101, output: 10, cached_input: 305 } });
    await quotas.consume(projectId, 'tokens', 1);
    expect(await today(projectId)).toMatchObject({ used: 152, kinds: { input: 101, output: 10, cached_input: 305 } });
    await expect(quotas.consume(projectId, 'tokens', 0, { kinds: { output: 849 } })).rejects.toMatchObject({
      code: 'quota_exceeded',
    });
    expect(await today(projectId)).toMatchObject({ used: 152, kinds: { output: 10 } });
  });

  it('of a reservation are told when it is settled, once, whatever is repeated', async () => {
    const projectId = newProject();
    const hold = await reservations.reserve(projectId, 'tokens', 50);
    const use = { amount: 0, kinds: { input: 20, output: 30, cached_input: 100 } };
    expect(await reservations.extend(projectId, 'tokens', hold.id, use)).toMatchObject({ goOn: true });
    for (let i = 0; i < 3; i += 1)
      expect(await reservations.commit(projectId, 'tokens', hold.id, use, { idempotencyKey: 'a' })).toEqual({
        charged: 60,
        overrun: 0,
      });
    expect(await today(projectId)).toMatchObject({ used: 60, kinds: { input: 20, output: 30, cached_input: 100 } });
    const other = { amount: 61 };
    await expect(
      reservations.commit(projectId, 'tokens', hold.id, other, { idempotencyKey: 'a' }),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  it('stand in the contract’s wire form: kinds in the policy, the charge, the commit and the usage', async () => {
    const owner = await app.caller('owner');
    const put = (kinds: object) => owner.put('/quotas/own').send({ limits: { day: 100 }, kinds });
    await put({ a: 0.5, b: 0 }).expect(200);
    for (const wrong of [{ a: 2 }, { 'a b': 1 }, { a: 0.0001 }]) await put(wrong).expect(400);
    const charged = await owner
      .post('/quotas/own/consume')
      .send({ kinds: { a: 3, b: 9 } })
      .expect(200);
    expect(charged.body.windows.day.used).toBe(2);
    expect(
      (
        await owner
          .post('/quotas/own/consume')
          .send({ kinds: { c: 3 } })
          .expect(400)
      ).body.errors[0].field,
    ).toBe('kinds');
    for (const wrong of [{}, { kinds: { a: -1 } }, { kinds: { a: 1.5 } }, { kinds: 3 }])
      await owner.post('/quotas/own/consume').send(wrong).expect(400);
    await owner
      .post('/quotas/consume')
      .send({
        items: [
          { resource: 'own', kinds: { a: 1 } },
          { resource: 'own', amount: 1, kinds: { a: 1 } },
        ],
      })
      .expect(200);
    const { body } = await owner.post('/quotas/own/reservations').send({ amount: 10 }).expect(201);
    const base = `/quotas/own/reservations/${body.reservation_id}`;
    await owner
      .patch(base)
      .send({ kinds: { a: 4 } })
      .expect(200);
    await owner
      .post(`${base}/commit`)
      .set('Idempotency-Key', 'k')
      .send({ kinds: { a: 6 } })
      .expect(200, { charged: 3, overrun: 0 });
    const usage = await owner.get('/quotas/own/usage?granularity=hour').expect(200);
    expect(usage.body.items.at(-1)).toMatchObject({ used: 7, kinds: { a: 11, b: 9 } });
  });
});
