// Who trains: the trainers that the plan of a phase asks for, without those that were taken out since, and
// with those that were added. Numbers are never given twice.

export interface Team {
  /** Numbers of those that take part, in order. */
  readonly present: readonly number[]
  /** A phase of so many trainers begins. */
  plan(count: number): void
  add(): number
  /** False where it does not take part, or is the last one. */
  remove(index: number): boolean
}

/** `planned`: the most that any phase asks for. */
export function createTeam(planned: number): Team {
  let count = 0
  let next = planned
  const added: number[] = []
  const removed = new Set<number>()
  const present = (): number[] =>
    [...Array.from({ length: count }, (_, index) => index), ...added].filter(
      (index) => !removed.has(index),
    )
  return {
    get present() {
      return present()
    },
    plan(trainers) {
      count = trainers
      // Where the first ones were taken out before the others came, somebody has to train.
      const [last] = [...removed].slice(-1)
      if (present().length === 0 && last !== undefined) removed.delete(last)
    },
    add() {
      added.push(next)
      return next++
    },
    remove(index) {
      if (!present().includes(index) || present().length < 2) return false
      removed.add(index)
      return true
    },
  }
}
