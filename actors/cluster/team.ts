// Who takes part in the training: the replicas that the plan of a phase wants, less those that were removed,
// and those that were added. Pure; a number is never used again, so that what is fenced stays fenced.

export interface Team {
  /** In the phase under way. */
  readonly replicas: readonly number[]
  readonly added: readonly number[]
  readonly removed: ReadonlySet<number>
  /** What the next newcomer is called. */
  readonly next: number
}

export function emptyTeam(planned: number): Team {
  return { replicas: [], added: [], removed: new Set(), next: planned }
}

/** For a phase that wants `planned` replicas. */
export function teamFor(team: Team, planned: number): Team {
  const { added, removed } = team
  const next = Math.max(team.next, planned)
  const wanted = Array.from({ length: planned }, (_, replica) => replica)
  const replicas = [...new Set([...wanted, ...added])].filter((replica) => !removed.has(replica))
  // Whoever was meant to be there alone has been removed.
  return replicas.length > 0 ? { ...team, replicas, next } : withNewcomer({ ...team, next })
}

export function withNewcomer(team: Team): Team {
  const { replicas, added, next } = team
  return { ...team, replicas: [...replicas, next], added: [...added, next], next: next + 1 }
}

export function without(team: Team, replica: number): Team {
  return {
    ...team,
    replicas: team.replicas.filter((other) => other !== replica),
    removed: new Set(team.removed).add(replica),
  }
}
