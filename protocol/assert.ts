// Assertions stay on in production: a broken invariant crashes the actor, and its supervisor decides.

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws `AssertionError` when an invariant of our own does not hold: a bug, never bad input. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant)
}

/** The end of an exhaustive switch: a type error at compile time, an assertion at run time. */
export function unreachable(value: never): never {
  throw new AssertionError(`unexpected case: ${JSON.stringify(value)}`)
}
