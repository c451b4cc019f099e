// One of two processes that ask for the same cold keys at once.
import { article, STORES } from './stores.mjs';

const store = await STORES[process.env.STORE]({ app: process.env.APP_URL, admin: process.env.ADMIN_URL });
process.send('ready');

process.on('message', async ({ projectId, id, callers, loadMs }) => {
  let loads = 0;
  const load = async () => {
    loads += 1;
    await new Promise((resolve) => setTimeout(resolve, loadMs));
    return article(id);
  };
  const times = await Promise.all(
    Array.from({ length: callers }, async () => {
      const start = performance.now();
      await store.get(projectId, id, load);
      return performance.now() - start;
    }),
  );
  process.send({ loads, times });
});
process.on('SIGTERM', () => process.exit(0));
