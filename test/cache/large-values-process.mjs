// A process of the built application that writes, loads and reads large values at a steady rate, and says how long its event
// loop was held up meanwhile.
import 'reflect-metadata';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { IsString } from 'class-validator';
import { CacheService } from '../../dist/cache/cache.service.js';
import { EntryType } from '../../dist/cache/entry/entry-type.js';
import { parseProjectId } from '../../dist/common/project-id.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { createApp } from '../../dist/create-app.js';

class Text {
  text;
}
IsString()(Text.prototype, 'text');
const texts = new EntryType({ name: 'text', type: Text, ttlMs: 60_000 });

const app = await createApp(loadConfig(process.env));
await app.init();
const cache = app.get(CacheService, { strict: false });

const WORDS = Array.from({ length: 4096 }, (_, i) => `word${(i * 7919) % 2003}`).join(' ');
const text = (bytes) => WORDS.repeat(Math.ceil(bytes / WORDS.length)).slice(0, bytes);

async function step(projectId, i, bytes) {
  const document = { id: `d${i}`, title: 'large', content: text(bytes), version: 1 };
  await cache.put(projectId, document);
  const stored = await cache.get(projectId, document.id);
  const entry = texts.of(`e${i}`);
  await cache.getOrLoad(projectId, entry, () => ({ text: document.content }));
  const read = await cache.getOrLoad(projectId, entry, () => ({ text: 'must not be loaded' }));
  return stored?.document.content.length === bytes && read.text.length === bytes;
}

process.on('message', async ({ projectId, perSecond, seconds, bytes }) => {
  const project = parseProjectId(projectId);
  const steps = [];
  // What is compiled at the first use is no matter of size.
  for (let i = 0; i < 20; i += 1) await step(project, `warm${i}`, bytes);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begin = performance.now();
  for (let i = 0; i < perSecond * seconds; i += 1) {
    await pause(begin + (i * 1000) / perSecond - performance.now());
    steps.push(step(project, i, bytes));
  }
  const right = (await Promise.all(steps)).filter(Boolean).length;
  delay.disable();
  const ms = (ns) => Math.round(ns / 1e4) / 100;
  process.send({ right, p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) });
});
process.on('disconnect', () => process.exit(0));
process.send({ ready: true });
