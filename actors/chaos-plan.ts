// Faults named by progress, `kill:trainer@30%,stop:shard-1@60%`: parsed once, due when progress passes.

export interface ChaosFault {
  /** SIGKILL, or SIGSTOP: a process that hangs without dying. */
  readonly fault: 'kill' | 'stop'
  /** A role, 'trainer', or one process of it, 'trainer-1'. */
  readonly target: string
  /** Part of the planned training, from 0 to less than 1. */
  readonly at: number
}

export class ChaosPlanError extends Error {
  override readonly name = 'ChaosPlanError'
}

/** Throws `ChaosPlanError` naming the part that cannot be understood. */
export function parseChaos(text: string): readonly ChaosFault[] {
  const parts = text.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '').map(parseFault)
}

function parseFault(part: string): ChaosFault {
  const match = /^(kill|stop):((?:trainer|shard|lattices)(?:-\d+)?)@(\d+(?:\.\d+)?)%$/.exec(part)
  const [, fault, target = '', percent] = match ?? []
  const at = Number(percent) / 100
  if ((fault !== 'kill' && fault !== 'stop') || !(at < 1)) {
    const form =
      'kill or stop, then :trainer, :shard, :lattices or one like :shard-1, then @0% to @99%'
    throw new ChaosPlanError(`chaos: '${part}' is not understood; give ${form}`)
  }
  return { fault, target, at }
}

/** Faults whose time came between two observations of progress. */
export function dueFaults(
  plan: readonly ChaosFault[],
  before: number,
  now: number,
): readonly ChaosFault[] {
  return plan.filter(({ at }) => before <= at && at < now)
}
