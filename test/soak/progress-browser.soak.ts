import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { ProgressService } from '../../src/progress/progress.service.js';
import { TestApp } from '../support/app.js';
import { MainProcess } from '../support/main-process.js';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET } from '../support/projects.js';
import { until } from '../support/until.js';

// Debian: apt-get install nginx chromium. Nothing is mocked: the page runs in a real browser, behind a real proxy.
const NGINX = '/usr/sbin/nginx';
const CHROMIUM = '/usr/bin/chromium';

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** What the page says of its EventSource. */
interface Said {
  readonly what: 'open' | 'message' | 'state';
  readonly ms: number;
  readonly type?: string;
  readonly state?: number;
}

// It reports past the network that the test cuts: a report lost there would look like an event lost.
const PAGE = `<!doctype html><script>
const query = new URLSearchParams(location.search);
let last = Promise.resolve();
const say = (said) => { last = last.then(() => fetch(query.get('report'), { method: 'POST', mode: 'no-cors', body: JSON.stringify(said) })); };
const source = new EventSource(query.get('stream'));
const begin = performance.now();
source.onopen = () => say({ what: 'open', ms: performance.now() - begin });
source.onmessage = ({ data }) => say({ what: 'message', ms: performance.now() - begin, type: JSON.parse(data).type });
let state;
setInterval(() => {
  if (state !== source.readyState) say({ what: 'state', ms: performance.now() - begin, state: (state = source.readyState) });
}, 20);
</script>`;

describe('a native EventSource in a real browser behind nginx with gzip and buffering on', () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function world() {
    const dir = await mkdtemp(join(tmpdir(), 'progress-browser-'));
    cleanups.push(() => rm(dir, { recursive: true, force: true }));
    const redis = await ownRedis();
    cleanups.push(() => redis[Symbol.asyncDispose]());
    const app = await TestApp.start({ servers: { state: redis } });
    cleanups.push(() => app.close());
    const env = { PORT: String(await freePort()), REDIS_URL: redis.appUrl, AUTH_JWT_SECRET: JWT_SECRET };
    let api = new MainProcess(env);
    cleanups.push(() => api[Symbol.asyncDispose]());
    await api.url();
    const restart = async (meanwhile: () => Promise<unknown>): Promise<void> => {
      api.signal('SIGTERM');
      await api.exited;
      await meanwhile();
      api = new MainProcess(env);
      await api.url();
    };

    const said: Said[] = [];
    const pages = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        if (request.method === 'POST') said.push(JSON.parse(body) as Said);
        response.setHeader('content-type', 'text/html').end(PAGE);
      });
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => pages.close());

    const pagesUrl = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;

    const port = await freePort();
    await writeFile(
      join(dir, 'nginx.conf'),
      `daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log; ${process.getuid?.() === 0 ? 'user root;' : ''}
events {}
http {
  access_log off; gzip on; gzip_types *; gzip_min_length 0; proxy_buffering on;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass ${pagesUrl}; }
    location /v1/ {
      proxy_pass http://127.0.0.1:${env.PORT}; proxy_http_version 1.1; proxy_set_header Connection "";
      location ~ /progress$ {
        proxy_pass http://127.0.0.1:${env.PORT}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 60s;
        error_page 502 504 =200 @away;
      }
    }
    location @away { default_type text/event-stream; return 200 "retry: 2000\\n: away\\n\\n"; }
  }
}
`,
    );
    const nginx = spawn(NGINX, ['-c', join(dir, 'nginx.conf'), '-p', dir], { stdio: 'inherit' });
    cleanups.push(async () => {
      nginx.kill('SIGTERM');
      await once(nginx, 'exit');
    });

    // The network between the browser and the proxy.
    const sockets = new Set<net.Socket>();
    let online = true;
    const network = net.createServer((client) => {
      if (!online) return void client.resetAndDestroy();
      const server = net.connect(port, '127.0.0.1');
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        sockets.add(from);
        from.on('error', () => undefined).on('close', () => to.destroy());
        from.pipe(to);
      }
    });
    await new Promise<void>((resolve) => network.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      network.close();
    });
    const goOffline = (): void => {
      online = false;
      for (const socket of sockets) socket.destroy();
    };
    const goOnline = (): void => void (online = true);

    const origin = `http://127.0.0.1:${(network.address() as AddressInfo).port}`;
    await until(() => fetch(origin).catch(() => undefined), 'nginx');
    const viewer = await app.caller('viewer');
    const visit = async (query = ''): Promise<void> => {
      const { body } = await viewer.post('/progress/tickets').expect(201);
      const stream = `${viewer.base}/progress?ticket=${body.ticket as string}${query}`;
      const browser = spawn(
        CHROMIUM,
        [
          '--headless=new',
          '--no-sandbox',
          '--disable-gpu',
          '--no-first-run',
          '--disable-dev-shm-usage',
          `--user-data-dir=${join(dir, `profile-${said.length}`)}`,
          `${origin}/?${new URLSearchParams({ stream, report: `${pagesUrl}/said` })}`,
        ],
        { stdio: 'ignore', detached: true },
      );
      cleanups.push(async () => {
        process.kill(-browser.pid!, 'SIGKILL');
        await once(browser, 'exit');
      });
      await until(() => said.some(({ what }) => what === 'open'), 'the stream to open', 60_000);
    };
    const say = (type: string, data: object = {}, operation_id?: string) =>
      until(
        () =>
          app
            .get(ProgressService)
            .publish(viewer.projectId as ProjectId, { type, data, operation_id })
            .catch(() => undefined),
        'Redis to take an event',
      );
    const types = (): (string | undefined)[] => said.filter(({ what }) => what === 'message').map(({ type }) => type);
    const readyState = (): number | undefined => said.findLast(({ what }) => what === 'state')?.state;
    const heard = (type: string) => until(() => types().includes(type), `the page to hear ${type}`, 60_000);
    return { visit, said, say, types, readyState, heard, restart, goOffline, goOnline };
  }

  it(
    'opens on an idle project, and loses no event to an outage of the network or a restart',
    { timeout: 240_000 },
    async () => {
      const { visit, said, say, types, readyState, heard, restart, goOffline, goOnline } = await world();
      await visit();
      await heard('$snapshot');
      const version = execFileSync(CHROMIUM, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      const { ms } = said.find(({ what }) => what === 'open')!;
      process.stdout.write(`FIGURE ${version.trim()}: opened after ${ms.toFixed(0)} ms\n`);
      await say('one');
      await heard('one');
      goOffline();
      await until(() => readyState() === 0, 'the page to lose its stream', 60_000);
      await say('while offline');
      goOnline();
      await heard('while offline');
      await restart(() => say('while restarting'));
      await heard('while restarting');
      await say('last');
      await heard('last');
      expect(types()).toEqual(['$snapshot', 'one', 'while offline', 'while restarting', 'last']);
      // It never gave up.
      expect(said.filter(({ state }) => state === 2)).toEqual([]);
    },
  );

  it('stops for good after the end of its operation', { timeout: 120_000 }, async () => {
    const { visit, said, say, types, heard } = await world();
    await visit('&operation_id=job');
    await heard('$snapshot');
    await say('step', { done: 1 }, 'job');
    await say('end', { status: 'completed' }, 'job');
    await heard('$end');
    await until(() => said.some(({ state }) => state === 2), '204 to close it', 60_000);
    expect(types()).toEqual(['$snapshot', 'step', 'end', '$end']);
  });
});
