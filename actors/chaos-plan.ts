// Faults named by progress, `kill:trainer@30%,stop:shard-1@60%,fault:trainer@80%`: parsed once, due when progress passes.

/**
 * kill: SIGKILL; stop: SIGSTOP, a process that hangs without dying; fault: the compute thread of a trainer
 * or subnetwork loses its device; hang: it hangs, so that the deadline of its step must end it.
 */
export type ChaosFaultName = ProcessFault | TrainerFault
export type ProcessFault = 'kill' | 'stop'
export type TrainerFault = 'fault' | 'hang'

export interface ChaosFault {
  readonly fault: ChaosFaultName
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

const processFault =
  /^(kill|stop):((?:trainer|shard|lattices|subnetwork)(?:-\d+)?)@(\d+(?:\.\d+)?)%$/
const trainerFault = /^(fault|hang):((?:trainer|subnetwork)(?:-\d+)?)@(\d+(?:\.\d+)?)%$/

function parseFault(part: string): ChaosFault {
  const [, fault, target = '', percent] = processFault.exec(part) ?? trainerFault.exec(part) ?? []
  const at = Number(percent) / 100
  if (fault === undefined || !(at < 1)) {
    const form =
      'kill or stop, then :trainer, :shard, :lattices, :subnetwork or one like :shard-1 (fault or ' +
      'hang: only :trainer or :subnetwork), then @0% to @99%'
    throw new ChaosPlanError(`chaos: '${part}' is not understood; give ${form}`)
  }
  return { fault: fault as ChaosFaultName, target, at }
}

/** Faults whose time came between two observations of progress. */
export function dueFaults(
  plan: readonly ChaosFault[],
  before: number,
  now: number,
): readonly ChaosFault[] {
  return plan.filter(({ at }) => before <= at && at < now)
}
