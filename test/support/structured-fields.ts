import { parseList } from 'structured-headers';

/** `{name: {parameter: value}}` of a list of RFC 9651, read by a library. */
export function fields(header: string | undefined): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    parseList(header ?? '').map(([name, parameters]) => [
      name as string,
      Object.fromEntries(parameters as Map<string, unknown>),
    ]),
  );
}
