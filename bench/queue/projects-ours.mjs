// Ours: one consumer for the queue of all projects, as a module of a team has it.
import 'reflect-metadata';
import { Injectable, Module } from '../../node_modules/@nestjs/common/index.js';
import { NestFactory } from '../../node_modules/@nestjs/core/index.js';
import { AppModule } from '../../dist/app.module.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { QueueConsumer } from '../../dist/queue/queue-consumer.decorator.js';
import { counter, serve } from './contender.mjs';

const { done, drained } = counter();

class Embeddings {
  async handle() {
    done();
  }
}
Injectable()(Embeddings);
QueueConsumer('embeddings', { concurrency: 64 })(Embeddings);

class TeamModule {}
Module({ providers: [Embeddings] })(TeamModule);

let app;

async function start() {
  const config = loadConfig(process.env);
  app = await NestFactory.createApplicationContext(AppModule.with(config, [TeamModule]), { logger: ['error'] });
}

serve({ start, drained, memory: () => process.memoryUsage.rss() }, () => app.close());
