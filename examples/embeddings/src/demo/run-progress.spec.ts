import { describe, expect, it } from 'vitest';
import { RunProgress } from './run-progress.js';

const event = (operation_id: string, data: object): string =>
  JSON.stringify({ type: 'embedding', data, operation_id, id: 'e-1' });

describe('RunProgress', () => {
  it('adds up its own operations and passes over those of others', () => {
    const progress = new RunProgress();
    progress.add('run.0', 30);
    progress.add('run.1', 12);
    expect(progress.hear(event('run.0', { status: 'running', done: 10 }))).toEqual([]);
    expect(progress.hear(event('other.0', { status: 'completed', done: 5 }))).toEqual([]);
    expect(progress.hear(JSON.stringify({ type: 'note', data: { text: 'hello' }, id: 'e-2' }))).toEqual([]);
    expect([progress.done, progress.total]).toEqual([10, 42]);
    expect(progress.started).toBe(true);
    expect(progress.hear(event('run.1', { status: 'completed' }))).toEqual(['run.1']);
  });

  it('never goes back when a job is delivered again', () => {
    const progress = new RunProgress();
    progress.add('run.0', 30);
    progress.hear(event('run.0', { done: 20 }));
    progress.hear(event('run.0', { done: 10 }));
    expect(progress.done).toBe(20);
  });

  it('tells each reason for trying again once', () => {
    const progress = new RunProgress();
    progress.add('run.0', 30);
    const retrying = event('run.0', { status: 'running', stage: 'retrying', message: 'The quota is used up.' });
    progress.hear(retrying);
    progress.hear(retrying);
    expect(progress.troubles).toEqual(['The quota is used up.']);
  });

  it('catches up from a snapshot', () => {
    const progress = new RunProgress();
    progress.add('run.0', 30);
    progress.add('run.1', 12);
    const operations = [
      { operation_id: 'run.0', status: 'completed', done: 30, total: 30 },
      { operation_id: 'run.1', status: 'running', done: 4, total: 12 },
      { operation_id: 'other', status: 'running', done: 1, total: 2 },
    ];
    expect(progress.hear(JSON.stringify({ type: '$snapshot', data: { operations } }))).toEqual(['run.0']);
    expect(progress.done).toBe(34);
  });
});
