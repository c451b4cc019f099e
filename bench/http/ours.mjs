// Our application with two routes more: the same trivial handler behind `@Project()` and behind the request-scoped
// ProjectContext, to show what the scope costs per request.
import 'reflect-metadata';
import { Get, Module } from '../../node_modules/@nestjs/common/index.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { createApp } from '../../dist/create-app.js';
import { ProjectContext } from '../../dist/project-context/project-context.js';
import { ProjectController } from '../../dist/project-context/project-controller.decorator.js';
import { Project, Requires } from '../../dist/project-context/project.decorators.js';

function controller(path, type, parameters) {
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, 'get');
  Get()(type.prototype, 'get', descriptor);
  Requires('read')(type.prototype, 'get', descriptor);
  parameters(type);
  ProjectController(path)(type);
  return type;
}

class ParameterController {
  get(project) {
    return { project_id: project.projectId };
  }
}
class ScopedController {
  constructor(context) {
    this.context = context;
  }
  get() {
    return { project_id: this.context.projectId };
  }
}
class BenchModule {}
Module({
  controllers: [
    controller('bench-parameter', ParameterController, (type) => Project()(type.prototype, 'get', 0)),
    controller('bench-scoped', ScopedController, (type) =>
      Reflect.defineMetadata('design:paramtypes', [ProjectContext], type),
    ),
  ],
})(BenchModule);

const config = loadConfig(process.env);
const app = await createApp(config, [BenchModule]);
await app.listen(config.PORT, config.HOST);
process.send?.('ready');
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('SIGTERM', () => process.exit(0));
