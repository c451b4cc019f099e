import { isIP } from 'node:net';
import { ValidateBy } from 'class-validator';
import { isName } from '../common/names.js';

const SERVER = /^(rediss?:\/\/[^/?#\s]+\/?|unix:\/\/[^?#\s]+)$/;
const NAMED_NETWORKS = ['loopback', 'linklocal', 'uniquelocal'];

/** A URL of a Redis server that can be read whole, credentials included, and names no database: we never send SELECT. */
export function IsRedisUrl(): PropertyDecorator {
  return rule('isRedisUrl', isRedisUrl, 'must be a redis://, rediss:// or unix:// URL without a database number');
}

/** What Express takes as `trust proxy`, in our words: off, on, a number of hops, or addresses and networks. */
export function IsTrustProxy(): PropertyDecorator {
  return rule('isTrustProxy', isTrustProxy, 'must be off, on, a number of hops, or addresses separated by commas');
}

/** At most 8 names, each with a number that holds. */
export function IsNamedNumbers(name: string, holds: (value: number) => boolean, what: string): PropertyDecorator {
  return ValidateBy({
    name,
    validator: {
      validate: (value: unknown) =>
        typeof value === 'object' &&
        value !== null &&
        !Array.isArray(value) &&
        Object.keys(value).length <= 8 &&
        Object.entries(value).every(([key, number]) => isName(key) && typeof number === 'number' && holds(number)),
      defaultMessage: () => `$property must be at most 8 names with ${what}`,
    },
  });
}

function rule(name: string, holds: (value: string) => boolean, message: string): PropertyDecorator {
  return ValidateBy({
    name,
    validator: { validate: (value) => typeof value === 'string' && holds(value), defaultMessage: () => message },
  });
}

function isRedisUrl(value: string): boolean {
  if (!SERVER.test(value)) return false;
  try {
    const { username, password, pathname } = new URL(value);
    [username, password, pathname].forEach(decodeURIComponent);
    return true;
  } catch {
    return false;
  }
}

function isTrustProxy(value: string): boolean {
  return /^(off|on|\d{1,3})$/.test(value) || value.split(',').every((item) => isNetwork(item.trim()));
}

function isNetwork(item: string): boolean {
  if (NAMED_NETWORKS.includes(item)) return true;
  const slash = item.indexOf('/');
  const version = isIP(slash < 0 ? item : item.slice(0, slash));
  if (version === 0 || slash < 0) return version > 0;
  const bits = item.slice(slash + 1);
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}
