// The built application with a consumer of `embeddings`, as a second process: `node consumer-process.mjs`; settings come in
// the environment, and CONCURRENCY, LEASE_SECONDS, WORK_MS (of a job) beside them. Says what its handler does, a line each: `ready`,
// `start <job> <attempt>`, `end <job> <attempt> held|lost`. With HOLD=1 the handler blocks the event loop, from start to
// end, until a byte comes on standard input.
import 'reflect-metadata';
import { readSync, writeSync } from 'node:fs';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule } from '../../dist/app.module.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { QueueConsumer } from '../../dist/queue/queue-consumer.decorator.js';
import { QueueModule } from '../../dist/queue/queue.module.js';

const { CONCURRENCY = '1', LEASE_SECONDS = '1', WORK_MS = '0', HOLD } = process.env;
const say = (line) => writeSync(1, `${line}\n`);

class Consumer {
  async handle(_projectId, job, signal) {
    say(`start ${job.jobId} ${job.attempt}`);
    if (WORK_MS !== '0') await new Promise((resolve) => setTimeout(resolve, Number(WORK_MS)));
    if (HOLD) {
      readSync(0, Buffer.alloc(1));
      // What the thread found out meanwhile arrives now.
      await new Promise((resolve) => setTimeout(resolve));
    }
    say(`end ${job.jobId} ${job.attempt} ${signal.aborted ? 'lost' : 'held'}`);
    return { by: process.pid };
  }
}
Injectable()(Consumer);
QueueConsumer('embeddings', { concurrency: Number(CONCURRENCY), leaseSeconds: Number(LEASE_SECONDS) })(Consumer);

class ConsumerModule {}
Module({ imports: [QueueModule], providers: [Consumer] })(ConsumerModule);

const app = await NestFactory.createApplicationContext(AppModule.with(loadConfig(process.env), [ConsumerModule]), {
  logger: ['error'],
});
process.once('SIGTERM', () => void app.close().then(() => process.exit(0)));
say('ready');
