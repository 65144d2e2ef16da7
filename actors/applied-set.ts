// Which sequence numbers of a phase have been applied: everything below a mark, and a few above it.
// Bounded by the steps in flight, because the source hands numbers out in order.

export interface AppliedSet {
  readonly below: number
  readonly above: ReadonlySet<number>
}

export const nothingApplied: AppliedSet = { below: 0, above: new Set() }

export function hasApplied(set: AppliedSet, sequence: number): boolean {
  return sequence < set.below || set.above.has(sequence)
}

export function withApplied(set: AppliedSet, sequence: number): AppliedSet {
  const above = new Set(set.above)
  above.add(sequence)
  let below = set.below
  while (above.delete(below)) below += 1
  return { below, above }
}

export function appliedCount(set: AppliedSet): number {
  return set.below + set.above.size
}

/** What every one of the sets holds: the steps that need not be done again. */
export function appliedByAll(sets: readonly AppliedSet[]): AppliedSet {
  const below = Math.min(...sets.map((set) => set.below))
  const top = Math.max(...sets.map((set) => Math.max(set.below, ...set.above)))
  let common: AppliedSet = { below, above: new Set() }
  for (let sequence = below; sequence <= top; sequence++) {
    if (sets.every((set) => hasApplied(set, sequence))) common = withApplied(common, sequence)
  }
  return common
}
