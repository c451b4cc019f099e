/** What went wrong in one sentence for a human; scripts print its message alone, without a stack. */
export class Failure extends Error {}
