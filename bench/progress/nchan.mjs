// nginx with nchan (Debian: nginx, libnginx-mod-nchan) on the same Redis: one worker, as the others are one process.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so';
export const hasNchan = existsSync('/usr/sbin/nginx') && existsSync(MODULE);

export async function startNchan({ port, redisUrl }) {
  const dir = await mkdtemp(join(tmpdir(), 'bench-nchan-'));
  await writeFile(
    join(dir, 'nginx.conf'),
    `load_module ${MODULE};
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${dir}/pid;
error_log ${dir}/error.log;
events { worker_connections 10000; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  nchan_shared_memory_size 128M;
  upstream redis { nchan_redis_server ${redisUrl}; }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location ~ ^/sub/(.+)$ { nchan_subscriber eventsource; nchan_subscriber_first_message newest; nchan_channel_id $1; nchan_redis_pass redis; nchan_message_buffer_length 20000; nchan_message_timeout 1h; }
    location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; nchan_redis_pass redis; nchan_message_buffer_length 20000; nchan_message_timeout 1h; }
  }
}
`,
  );
  const child = spawn('/usr/sbin/nginx', ['-c', join(dir, 'nginx.conf'), '-p', dir], { stdio: 'ignore' });
  const workers = () =>
    execFileSync('pgrep', ['-P', String(child.pid)], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map(Number);
  for (let tries = 0; ; tries += 1) {
    try {
      await fetch(`http://127.0.0.1:${port}/`);
      break;
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  const [pid] = workers();
  const hertz = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return {
    pid,
    cpu: async () => {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
      return (Number(fields[11]) + Number(fields[12])) / hertz;
    },
    stop: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
