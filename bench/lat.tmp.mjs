import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { NestFactory } from '../node_modules/@nestjs/core/index.js';
import { Redis } from '../node_modules/ioredis/built/index.js';
import { AppModule } from '../dist/app.module.js';
import { parseProjectId } from '../dist/common/project-id.js';
import { loadConfig } from '../dist/config/app-config.js';
import { LockService } from '../dist/lock/lock.service.js';
import { RedisGateway } from '../dist/redis/redis-gateway.js';
import { startRedis } from '../scripts/lib/redis-server.mjs';
import { Mutex } from 'redis-semaphore';
const redis = await startRedis({ role:'state', dir:'/tmp/p2/redisq', passwords:{admin:'a-admin-pw',app:'a-app-pw'} });
const config = loadConfig({ REDIS_URL: redis.appUrl, AUTH_JWT_SECRET: 'x'.repeat(40), LOG_LEVEL:'fatal' });
const app = await NestFactory.createApplicationContext(AppModule.with(config), { logger: false });
const p = parseProjectId(randomUUID());
const locks=app.get(LockService), gw=app.get(RedisGateway);
const bare=new Redis(redis.adminUrl,{protocol:2}); const bare2=new Redis(redis.adminUrl);
await bare.ping();
const toks=[]; 
const cases={
 'bare get': i=>bare.get('k'),
 'gateway get': i=>gw.call('state','x.y',c=>c.get(`proj:${p}:k`)),
 'bare evalsha': i=>bare.eval('return 1',0),
 'acquire': async i=>{toks[i]=(await locks.acquire(p,`l${i}`,{ttlMs:60000,waitMs:30000})).token;},
 'release': i=>locks.release(p,`l${i}`,toks[i]),
 'sem both': async i=>{const m=new Mutex(bare2,`a${i%50}`,{lockTimeout:10000,acquireTimeout:30000,refreshInterval:0}); await m.acquire(); await m.release();},
 'our both': async i=>{const {token}=await locks.acquire(p,`a${i%50}`,{ttlMs:10000,waitMs:30000}); await locks.release(p,`a${i%50}`,token);},
};
const N=2000; const res={}; const cpus={};
for(let r=0;r<7;r++) for(const n in cases){ await bare.config('RESETSTAT'); const c0=process.cpuUsage(); const t=performance.now(); for(let i=0;i<N;i++) await cases[n](i); (res[n]??=[]).push((performance.now()-t)*1000/N); const c=process.cpuUsage(c0); (cpus[n]??=[]).push((c.user+c.system)/N); if(r===6){const st=await bare.info('commandstats'); console.log(n,/evalsha:([^\n]*)/.exec(st)?.[1]); } }
for(const n in res) console.log(n.padEnd(14), res[n].sort((a,b)=>a-b)[3].toFixed(0),'µs', cpus[n].sort((a,b)=>a-b)[3].toFixed(0),'cpu');
bare.disconnect(); bare2.disconnect(); await app.close(); await redis.stop(); process.exit(0);
