// Our application as it is, with its CPU time over IPC.
import 'reflect-metadata';
import { loadConfig } from '../../dist/config/app-config.js';
import { createApp } from '../../dist/create-app.js';

const config = loadConfig(process.env);
const app = await createApp(config);
await app.listen(config.PORT, config.HOST);
process.send?.('ready');
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('SIGTERM', () => process.exit(0));
