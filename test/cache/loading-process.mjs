// A process of the built application that loads one entry for many callers when told to, and says what it did.
import 'reflect-metadata';
import { Matches } from 'class-validator';
import { CacheService } from '../../dist/cache/cache.service.js';
import { EntryType } from '../../dist/cache/entry/entry-type.js';
import { parseProjectId } from '../../dist/common/project-id.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { createApp } from '../../dist/create-app.js';

class Loaded {
  by;
}
Matches(/^.+$/)(Loaded.prototype, 'by');
const type = new EntryType({ name: 'loaded', type: Loaded, ttlMs: 60_000, hardTimeoutMs: 1500 });

const app = await createApp(loadConfig(process.env));
await app.init();
const cache = app.get(CacheService, { strict: false });
process.send({ ready: true });

process.on('message', async ({ projectId, id, callers, loadMs }) => {
  const loader = () => {
    process.send({ loading: true });
    // For ever: the test kills this process.
    return new Promise((resolve) => loadMs >= 0 && setTimeout(resolve, loadMs, { by: String(process.pid) }));
  };
  const entry = type.of(id);
  const reads = Array.from({ length: callers }, () => cache.getOrLoad(parseProjectId(projectId), entry, loader));
  const values = await Promise.all(reads);
  process.send({ served: values.length, by: [...new Set(values.map(({ by }) => by))] });
});
process.on('disconnect', () => process.exit(0));
