/**
 * Waits until `condition` holds, looking again each few milliseconds: never for time to pass.
 * @throws when it does not hold within `ms`.
 */
export async function until<T>(
  condition: () => Promise<T> | T,
  what = 'the condition',
  ms = 10_000,
): Promise<NonNullable<T>> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${what} did not come true within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
