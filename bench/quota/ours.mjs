// Our application with one trivial route more, under `api` and the two buckets of `search`.
import 'reflect-metadata';
import { Get, Module } from '../../node_modules/@nestjs/common/index.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { createApp } from '../../dist/create-app.js';
import { ProjectController } from '../../dist/project-context/project-controller.decorator.js';
import { Requires } from '../../dist/project-context/project.decorators.js';
import { RateLimit } from '../../dist/quota/rate-limit.decorators.js';

class LimitedController {
  get() {
    return {};
  }
}
const descriptor = Object.getOwnPropertyDescriptor(LimitedController.prototype, 'get');
for (const decorate of [Get(), Requires('read'), RateLimit('search')])
  decorate(LimitedController.prototype, 'get', descriptor);
ProjectController('limited')(LimitedController);

class BenchModule {}
Module({ controllers: [LimitedController] })(BenchModule);

const config = loadConfig(process.env);
const app = await createApp(config, [BenchModule]);
await app.listen(config.PORT, config.HOST);
process.send?.('ready');
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('SIGTERM', () => process.exit(0));
