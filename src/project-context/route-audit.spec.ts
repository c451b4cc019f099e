import { Controller, Get, Module, type Type } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ProjectController } from './project-controller.decorator.js';
import { Public, Requires } from './project.decorators.js';
import { RouteAudit } from './route-audit.js';

@Controller('things')
class OutsideController {
  @Get()
  @Requires('read')
  read(): void {}
}

@Controller('v1/projects/:project_id_of_another_name/things')
class MisnamedController {
  @Get()
  @Requires('read')
  read(): void {}
}

@ProjectController('things')
class UndeclaredController {
  @Get()
  @Requires('read')
  declared(): void {}

  @Get('other')
  forgotten(): void {}
}

@ProjectController('things')
class OpenController {
  @Get()
  @Public()
  read(): void {}
}

@ProjectController('things')
@Requires('read')
class HidingController {
  @Get(':id')
  one(): void {}

  @Get('latest')
  latest(): void {}
}

@ProjectController('things')
@Requires('own')
class GoodController {
  @Get(['a', 'b'])
  read(): void {}
}

function withController(controller: Type): Promise<TestApp> {
  @Module({ controllers: [controller] })
  class ExtensionModule {}
  return TestApp.start({ extensions: [ExtensionModule] });
}

describe('the audit of routes', () => {
  it.each([
    ['stands outside every project and is not public', OutsideController, 'OutsideController.read'],
    ['names the project otherwise', MisnamedController, 'MisnamedController.read'],
    ['does not say who may use it', UndeclaredController, 'UndeclaredController.forgotten'],
    ['is public within a project', OpenController, 'OpenController.read'],
    ['is never reached', HidingController, 'HidingController.latest'],
  ])('refuses to start with a route that %s', async (_what, controller, name) => {
    await expect(withController(controller)).rejects.toThrow(name);
  });

  it('takes a route under each of its paths, with the access of its class', async () => {
    await using app = await withController(GoodController);
    const routes = app
      .get(RouteAudit)
      .routes()
      .filter(({ controller }) => controller === 'GoodController');
    expect(routes.map(({ method, path, access }) => [method, path, access])).toEqual([
      ['GET', 'v1/projects/:project_id/things/a', 'own'],
      ['GET', 'v1/projects/:project_id/things/b', 'own'],
    ]);
  });
});
