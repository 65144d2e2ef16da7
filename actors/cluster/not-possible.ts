// What is asked of a run or of its processes and cannot be as things are.

/** Its message says why, in one line; nothing was changed. */
export class NotPossibleError extends Error {
  override readonly name = 'NotPossibleError'
}
