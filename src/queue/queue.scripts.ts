import { defineScript } from '../redis/script.js';

const PLACES = [
  'list',
  'waiting',
  'leases',
  'delayed',
  'retry',
  'dead',
  'size',
  'dedupe',
  'history',
  'wake',
  'purged',
] as const;
const LEASE = ['token', 'lease_ms', 'max_leased', 'max_dead'] as const;
const TASKS = ['project_id', 'default_attempts', 'order'] as const;
const file = (name: string): URL => new URL(`./lua/${name}.lua`, import.meta.url);

export const enqueueJobs = defineScript({
  op: 'queue.enqueue',
  file: file('enqueue'),
  role: 'state',
  keys: [...PLACES, 'idempotency'],
  args: ['fingerprint', 'max_jobs', 'max_bytes', 'jobs...'],
});
/** The short way of nearly every request; says so when {@link enqueueJobs} must be asked. */
export const enqueuePlain = defineScript({
  op: 'queue.enqueue-plain',
  file: file('enqueue-plain'),
  role: 'state',
  keys: ['list', 'waiting', 'leases', 'delayed', 'retry', 'size', 'wake'],
  args: ['max_jobs', 'max_bytes', 'jobs...'],
});
export const purgeQueue = defineScript({
  op: 'queue.purge',
  file: file('purge'),
  role: 'state',
  keys: ['purged', 'rest...'],
  args: [],
});
export const leaseJobs = defineScript({
  op: 'queue.lease',
  file: file('lease'),
  role: 'state',
  keys: [...PLACES, 'settings', 'hold', 'request'],
  args: [...LEASE, ...TASKS, 'request', 'wanted', 'id', 'acks...'],
});
/** The short way of nearly every lease; says so when {@link leaseJobs} must be asked. */
export const leaseHead = defineScript({
  op: 'queue.lease-head',
  file: file('lease-head'),
  role: 'state',
  keys: ['list', 'waiting', 'leases', 'delayed', 'retry', 'dead', 'settings'],
  args: [...LEASE, 'wanted'],
});
export const ackJobs = defineScript({
  op: 'queue.ack',
  file: file('ack'),
  role: 'state',
  keys: ['list', 'leases', 'size', 'dedupe', 'history', 'purged'],
  args: ['acks...'],
});
/** The short way of nearly every ack that leases the next; says so when {@link leaseJobs} must be asked. */
export const ackAndLease = defineScript({
  op: 'queue.ack-next',
  file: file('ack-next'),
  role: 'state',
  keys: ['list', 'waiting', 'leases', 'delayed', 'retry', 'dead', 'size', 'dedupe', 'history', 'settings', 'purged'],
  args: [...LEASE, 'wanted', 'most', 'acks...'],
});
export const nackJob = defineScript({
  op: 'queue.nack',
  file: file('nack'),
  role: 'state',
  keys: [...PLACES, 'hold'],
  args: ['id', 'token', 'error', 'retry_ms', 'jitter', 'dead'],
});
export const releaseJobs = defineScript({
  op: 'queue.release',
  file: file('release'),
  role: 'state',
  keys: [...PLACES, 'request'],
  args: ['nonce', 'jobs...'],
});
export const extendLease = defineScript({
  op: 'queue.extend',
  file: file('extend'),
  role: 'state',
  keys: PLACES,
  args: ['id', 'token', 'lease_ms'],
});
export const cancelJob = defineScript({
  op: 'queue.cancel',
  file: file('cancel'),
  role: 'state',
  keys: [...PLACES, 'hold'],
  args: ['id'],
});
export const readJob = defineScript({ op: 'queue.job', file: file('job'), role: 'state', keys: PLACES, args: ['id'] });
export const countJobs = defineScript({
  op: 'queue.counts',
  file: file('counts'),
  role: 'state',
  keys: [...PLACES, 'settings'],
  args: [],
});
export const listDead = defineScript({
  op: 'queue.dead',
  file: file('dead'),
  role: 'state',
  keys: PLACES,
  args: ['after', 'limit'],
  readonly: true,
});
export const redriveDead = defineScript({
  op: 'queue.redrive',
  file: file('redrive'),
  role: 'state',
  keys: PLACES,
  args: ['limit'],
});
export const dropDead = defineScript({
  op: 'queue.drop-dead',
  file: file('drop-dead'),
  role: 'state',
  keys: PLACES,
  args: ['limit'],
});
