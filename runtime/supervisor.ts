// What follows the end of a life: the verdict of `supervision.ts`, carried out.
import type { StopReason } from './actor.ts'
import {
  type Cell,
  childrenOf,
  describeError,
  endLife,
  type Kernel,
  pastOf,
  removeCell,
  reportCrash,
  startLife,
} from './lives.ts'
import {
  type Backoff,
  backoffMs,
  isShutDown,
  judgeDeath,
  type RestartLimit,
  restartedWith,
  restartsWithin,
  withRestart,
} from './supervision.ts'

const defaultRestartLimit: RestartLimit = { restartsMax: 5, windowMs: 10_000 }
const STOPPED = { type: 'stopped' } as const
const defaultBackoff: Backoff = { delayMs: 50, delayMsMax: 5_000 }

/** The behavior itself said `stop()`. */
export function finish(kernel: Kernel, cell: Cell): void {
  const incarnation = cell.life?.incarnation ?? 0
  endLife(kernel, cell, STOPPED)
  kernel.inspector.emit({ type: 'stopped', path: cell.path, incarnation })
  decide(kernel, cell, { type: 'stopped' })
}

export function crash(kernel: Kernel, cell: Cell, cause: string, error?: unknown): void {
  reportCrash(kernel, cell, cell.life?.incarnation ?? 0, cause, error)
  const death = { type: 'crashed', cause } as const
  endLife(kernel, cell, death)
  decide(kernel, cell, death)
}

/** Somebody wants it afresh: nothing failed, so nothing is judged. */
export function restartNow(kernel: Kernel, cell: Cell): void {
  const incarnation = cell.life?.incarnation ?? 0
  endLife(kernel, cell, STOPPED)
  pastOf(cell).ended = STOPPED
  kernel.inspector.emit({ type: 'stopped', path: cell.path, incarnation })
  restart(kernel, cell)
}

type Death = Extract<StopReason, { readonly type: 'stopped' | 'crashed' }>

function decide(kernel: Kernel, cell: Cell, death: Death): void {
  const { parent } = cell
  const { restart: policy = 'transient', restartLimit: limit = defaultRestartLimit } = cell.options
  const sharedLimit = parent?.definition.supervision?.restartLimit
  const now = kernel.environment.clock.now()
  // Most ends of an actor are for good and leave nothing to remember.
  const restarts = cell.past?.restarts ?? []
  const ofSiblings = parent && sharedLimit && { limit: sharedLimit, past: pastOf(parent) }
  const shared = ofSiblings && { limit: sharedLimit, restarts: ofSiblings.past.childRestarts }
  const crashed = death.type === 'crashed'
  const verdict = judgeDeath({ policy, crashed, limit, restarts, now, ...(shared && { shared }) })
  switch (verdict) {
    case 'forget':
      return forget(kernel, cell)
    case 'escalate':
      return escalate(kernel, cell, crashed ? death.cause : death.type)
    case 'restart': {
      const past = pastOf(cell)
      const { backoff = defaultBackoff } = cell.options
      const tries = restartsWithin(restarts, now, limit)
      past.ended = death
      past.restarts = withRestart(restarts, now, limit)
      if (ofSiblings) {
        const { past: family } = ofSiblings
        family.childRestarts = withRestart(family.childRestarts, now, ofSiblings.limit)
      }
      restartAround(kernel, cell, backoffMs(tries, backoff, kernel.environment.random))
    }
  }
}

function forget(kernel: Kernel, cell: Cell): void {
  const { parent } = cell
  removeCell(kernel, cell)
  const supervision = parent?.definition.supervision
  if (!parent?.life || !supervision) return
  const significance = ({ options }: Cell) => ({ significant: options.significant ?? false })
  const left = childrenOf(parent).map(significance)
  if (isShutDown(supervision, significance(cell), left)) finish(kernel, parent)
}

function escalate(kernel: Kernel, cell: Cell, cause: string): void {
  const { path, parent } = cell
  removeCell(kernel, cell)
  kernel.inspector.emit({ type: 'escalated', path, cause })
  if (parent?.life) crash(kernel, parent, `${path}: ${cause}`)
  else if (!parent) kernel.escalated(`${path}: ${cause}`)
}

/** The dead child and those that its parent's strategy restarts with it: stop newest first, start in order. */
function restartAround(kernel: Kernel, dead: Cell, delayMs: number): void {
  const { parent } = dead
  const { strategy = 'one-for-one' } = parent?.definition.supervision ?? {}
  const group = parent ? restartedWith(strategy, childrenOf(parent), dead) : [dead]
  for (const cell of group.toReversed()) {
    if (cell === dead) continue
    const { life } = cell
    endLife(kernel, cell, STOPPED)
    pastOf(cell).ended = STOPPED
    if (cell.options.restart === 'temporary') removeCell(kernel, cell)
    if (life) {
      const { incarnation } = life
      kernel.inspector.emit({ type: 'stopped', path: cell.path, incarnation })
    }
  }
  const { clock } = kernel.environment
  for (const cell of group) {
    // The start of one before it may have failed, which began a restart of its own.
    const isWaiting =
      !cell.life && !cell.past?.cancelRestart && kernel.cells.get(cell.path) === cell
    if (!isWaiting) continue
    if (delayMs === 0) restart(kernel, cell)
    else pastOf(cell).cancelRestart = clock.after(delayMs, () => restart(kernel, cell))
  }
}

function restart(kernel: Kernel, cell: Cell): void {
  const past = pastOf(cell)
  past.cancelRestart = undefined
  past.restartCount += 1
  try {
    const { incarnation } = startLife(kernel, cell)
    kernel.inspector.emit({ type: 'restarted', path: cell.path, incarnation })
  } catch (error) {
    crash(kernel, cell, describeError(error), error)
  }
}
