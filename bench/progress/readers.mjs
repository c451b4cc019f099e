// A process of its own that holds many streams and counts: how many events came, and how long each was on the way.
import http from 'node:http';

const [url, count, token] = process.argv.slice(2);
const MARK = '"sent_us":';
let delays = [];
let deliveries = 0;
let open = 0;

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

function follow() {
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` };
  http
    .get(url, { agent: false, headers }, (response) => {
      if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
      open += 1;
      if (open === Number(count)) process.send('open');
      let rest = '';
      response.setEncoding('latin1');
      response.on('data', (text) => {
        const all = rest + text;
        const now = nowUs();
        let from = 0;
        for (let end = all.indexOf('\n\n'); end >= 0; end = all.indexOf('\n\n', from)) {
          const at = all.indexOf(MARK, from);
          if (at >= 0 && at < end) {
            deliveries += 1;
            delays.push(now - parseInt(all.slice(at + MARK.length, at + MARK.length + 17), 10));
          }
          from = end + 2;
        }
        rest = all.slice(from);
      });
    })
    .on('error', (error) => process.stderr.write(`${error.message}\n`));
}

for (let i = 0; i < Number(count); i += 1) setTimeout(follow, i * 2);

process.on('message', (message) => {
  if (message === 'reset') [deliveries, delays] = [0, []];
  if (message === 'count') process.send({ deliveries });
  if (message === 'delays') process.send({ delays: Float64Array.from(delays) });
});
