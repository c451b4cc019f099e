// A worker in another process, over HTTP and without any library: `node pull-worker.mjs <base URL> <token> <lease s>`.
// Says what it does, a line each: `start <job> <attempt>`, `ack <job> <status>`. With a fourth argument `held` it acks only
// after a line on standard input; with a number, after so many milliseconds of work.
import { createInterface } from 'node:readline';
import { writeSync } from 'node:fs';
import { setTimeout as work } from 'node:timers/promises';

const [base, token, leaseSeconds, held] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line) => writeSync(1, `${line}\n`);
const post = (path, body) =>
  fetch(`${base}/queues/embeddings${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

for (;;) {
  const answer = await post('/leases', { max: 2, lease_seconds: Number(leaseSeconds), wait_seconds: 5 });
  if (answer.status !== 200) {
    await answer.text();
    continue;
  }
  for (const { job_id, lease_token, attempt } of (await answer.json()).jobs) {
    say(`start ${job_id} ${attempt}`);
    if (held === 'held') await lines.next();
    else if (held) await work(Number(held));
    const { status } = await post(`/jobs/${job_id}/ack`, { lease_token });
    say(`ack ${job_id} ${status}`);
  }
}
