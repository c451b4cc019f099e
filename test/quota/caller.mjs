// The built application in a process of its own, whose services work at the call of a test; see caller.ts.
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { loadConfig } from '../../dist/config/app-config.js';
import { createApp } from '../../dist/create-app.js';
import { QuotaService } from '../../dist/quota/quota.service.js';
import { ReservationService } from '../../dist/quota/reservation.service.js';
import { RedisClock } from '../../dist/redis/redis-clock.js';
import { random } from '../support/random.mjs';

const app = await createApp(loadConfig(process.env));
await app.init();
const quotas = app.get(QuotaService);
const reservations = app.get(ReservationService);

/** Makes a call that may be repeated, until it is answered. @returns the value, or undefined for a refusal. */
async function answered(call) {
  for (;;) {
    try {
      return (await call()) ?? true;
    } catch (error) {
      if (error.code === 'quota_exceeded') return undefined;
      // A slow machine: the call may have run, and its repetition is safe.
      if (error.code !== 'redis_unavailable') throw error;
      await pause(20);
    }
  }
}

const work = {
  clock: () => Date.now(),

  // A step forward may end a connection whose answer was under way: it looks as if that had taken too long.
  async readTime() {
    for (;;) {
      try {
        return await app.get(RedisClock).sync('state');
      } catch {
        await pause(5);
      }
    }
  },

  async listen() {
    await app.listen(0, '127.0.0.1');
    return app.getUrl();
  },

  /** Random operations, `inFlight` at once. `over`: what is used may be more than what was held. */
  async storm({ projectId, resource, seed, operations, inFlight, over }) {
    const next = random(seed);
    const upTo = (most) => 1 + Math.floor(next() * most);
    const sums = { accepted: 0, refused: 0, charged: 0, overrun: 0, held: 0, unknown: 0 };
    const open = [];
    let left = operations;
    const options = () => ({ idempotencyKey: randomUUID() });
    const consume = async (amount) => {
      const key = options();
      if (!(await answered(() => quotas.consume(projectId, resource, amount, key)))) return (sums.refused += 1);
      sums.charged += amount;
      return (sums.accepted += 1);
    };
    // Without a key a process may refuse from memory, and what is not answered may be charged.
    const consumeOnce = async (amount) => {
      try {
        await quotas.consume(projectId, resource, amount);
        sums.charged += amount;
        return (sums.accepted += 1);
      } catch (error) {
        if (error.code === 'redis_unavailable') return (sums.unknown += amount);
        if (error.code === 'quota_exceeded') return (sums.refused += 1);
        throw error;
      }
    };
    const reserve = async (amount) => {
      const key = { ...options(), ttlSeconds: 86_400 };
      const hold = await answered(() => reservations.reserve(projectId, resource, amount, key));
      if (!hold) return (sums.refused += 1);
      open.push({ id: hold.id, amount, used: 0 });
      return (sums.accepted += 1);
    };
    const end = async (hold, dice) => {
      if (dice < 0.3) return answered(() => reservations.release(projectId, resource, hold.id));
      const amount = hold.used + Math.floor(next() * (hold.amount - hold.used + (over ? 20 : 0)));
      const { charged, overrun } = await answered(() => reservations.commit(projectId, resource, hold.id, amount));
      sums.charged += charged;
      sums.overrun += overrun;
      return undefined;
    };
    const extend = async (hold) => {
      hold.used = Math.min(hold.used + upTo(20), over ? Infinity : hold.amount);
      const { goOn } = await answered(() => reservations.extend(projectId, resource, hold.id, hold.used));
      if (goOn || !over) open.push(hold);
      else await end(hold, 1);
    };
    const one = async () => {
      const dice = next();
      const hold = dice >= 0.6 && open.length > 0 ? open.splice(Math.floor(next() * open.length), 1)[0] : undefined;
      if (hold) return dice < 0.75 ? extend(hold) : end(hold, next());
      if (dice < 0.3) return dice < 0.15 ? consume(upTo(10)) : consumeOnce(upTo(10));
      return dice < 0.6 ? reserve(upTo(100)) : consume(upTo(10));
    };
    const lane = async () => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
    if (over) for (const hold of open.splice(0)) await end(hold, 1);
    sums.held = open.reduce((sum, { amount }) => sum + amount, 0);
    return sums;
  },

  /** Streams at once, each of which holds `step`, uses `step` between two reports, and stops when it is told to. */
  async streams({ projectId, resource, count, step }) {
    const stream = async () => {
      const key = { idempotencyKey: randomUUID() };
      const hold = await answered(() => reservations.reserve(projectId, resource, step, key));
      if (!hold) return { charged: 0, overrun: 0 };
      for (let used = step; ; used += step) {
        const { goOn } = await answered(() => reservations.extend(projectId, resource, hold.id, used));
        if (!goOn) return answered(() => reservations.commit(projectId, resource, hold.id, used));
      }
    };
    const ended = await Promise.all(Array.from({ length: count }, stream));
    return {
      charged: ended.reduce((sum, { charged }) => sum + charged, 0),
      overrun: ended.reduce((sum, { overrun }) => sum + overrun, 0),
    };
  },
};

const services = { quotas, reservations, work };

process.on('message', async ({ id, service, method, args }) => {
  let answer;
  try {
    answer = { id, value: await services[service][method](...args) };
  } catch (error) {
    const { rule, retryAfterSeconds } = error.details ?? {};
    answer = { id, error: { code: error.code ?? 'thrown', message: String(error.stack), rule, retryAfterSeconds } };
  }
  process.send(answer);
});
process.on('disconnect', () => process.exit());
process.send('ready');
