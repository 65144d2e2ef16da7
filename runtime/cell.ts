// A cell keeps one actor alive: its lives, its mailbox, its children. A life ends by stop or crash; what
// follows is the verdict of its restart policy. Everything here is synchronous.
import type { Envelope } from '../protocol/envelope.ts'
import type { Limits } from '../protocol/limits.ts'
import type { AnyDefinition, Context, Down, Next, SpawnOptions, StopReason } from './actor.ts'
import { StartError } from './actor.ts'
import type { Environment } from './environment.ts'
import type { Inspector } from './inspect.ts'
import { createMailbox, type Letter, type Mailbox } from './mailbox.ts'
import type { AskParty, Asks, Slot } from './ref.ts'
import {
  backoffMs,
  judgeDeath,
  type RestartLimit,
  restartsWithin,
  withRestart,
} from './supervision.ts'
import type { Watched, Watcher, Watches } from './watches.ts'

/** One life of an actor: what ends with it. */
export interface Life extends AskParty, Watcher, Watched {
  readonly incarnation: number
  readonly context: Context<unknown>
  readonly timers: Set<() => void>
  pipes: number
  state: unknown
  hasState: boolean
}

export interface Cell {
  readonly path: string
  readonly parent: Cell | undefined
  readonly definition: AnyDefinition
  readonly config: unknown
  readonly options: SpawnOptions
  readonly children: Map<string, Cell>
  readonly mailbox: Mailbox
  /** Absent while it waits for its restart, and after its end. */
  life: Life | undefined
  restarts: readonly number[]
  restartCount: number
  lastCrash: string | undefined
  cancelRestart: (() => void) | undefined
  isScheduled: boolean
  isStopping: boolean
}

/** What cells need of their system. */
export interface Kernel {
  readonly environment: Environment
  readonly limits: Limits
  readonly inspector: Inspector
  readonly cells: Map<string, Cell>
  readonly asks: Asks
  readonly watches: Watches
  /** A number that no life of this path, in this or a former life of the member, has had. */
  nextIncarnation(): number
  createContext(cell: Cell, life: () => Life | undefined, incarnation: number): Context<unknown>
  schedule(cell: Cell): void
  /** The asks of other members that this life has received get no reply. */
  refuseRemoteAsks(life: Life, cause: string): void
  /** A letter that nobody will read. */
  deadLetter(envelope: Envelope, cause: string): void
  /** All envelopes that a turn sends carry the trace of the one it handles. */
  withTrace<T>(trace: number | undefined, run: () => T): T
  escalated(cause: string): void
}

const defaultRestartLimit: RestartLimit = { restartsMax: 5, windowMs: 10_000 }
const restartBackoff = { delayMs: 50, delayMsMax: 5_000 }

/** Starts the first life at once; throws `StartError` where that fails, and leaves nothing behind. */
export function spawnCell(
  kernel: Kernel,
  parent: Cell | undefined,
  start: { definition: AnyDefinition; config: unknown; options: SpawnOptions },
): Cell {
  const { definition, config, options } = start
  const path = `${parent?.path ?? ''}/${options.name}`
  if (!/^[^/#~\s][^/#\s]*$/.test(options.name)) {
    throw new StartError(path, 'a name has no slash, hash or space')
  }
  if (kernel.cells.has(path)) throw new StartError(path, 'this name is taken')
  if (kernel.cells.size >= kernel.limits.actorsMax) {
    throw new StartError(path, `${kernel.limits.actorsMax} actors are the most`)
  }
  const cell: Cell = {
    path,
    parent,
    definition,
    config,
    options,
    children: new Map(),
    mailbox: createMailbox(options.mailboxMessagesMax ?? kernel.limits.mailboxMessagesMax),
    life: undefined,
    restarts: [],
    restartCount: 0,
    lastCrash: undefined,
    cancelRestart: undefined,
    isScheduled: false,
    isStopping: false,
  }
  kernel.cells.set(path, cell)
  parent?.children.set(options.name, cell)
  try {
    startLife(kernel, cell)
  } catch (error) {
    endLife(kernel, cell, { type: 'crashed', cause: describeError(error) })
    removeCell(kernel, cell)
    throw new StartError(path, describeError(error), { cause: error })
  }
  const { incarnation = 0 } = cell.life ?? {}
  kernel.inspector.emit({ type: 'spawned', path, incarnation, kind: definition.kind })
  return cell
}

/** Handles up to so many letters; says how many. */
export function runCell(kernel: Kernel, cell: Cell, lettersMax: number): number {
  for (let handled = 0; handled < lettersMax; handled++) {
    const { life } = cell
    const letter = life && cell.mailbox.take()
    if (!letter) return handled
    if (letter.notice === 'stop') stopCell(kernel, cell)
    else runTurn(kernel, cell, life, letter)
  }
  return lettersMax
}

/** Ends the cell for good, children first. */
export function stopCell(kernel: Kernel, cell: Cell): void {
  const incarnation = cell.life?.incarnation ?? 0
  endLife(kernel, cell, { type: 'stopped' })
  removeCell(kernel, cell)
  kernel.inspector.emit({ type: 'stopped', path: cell.path, incarnation })
}

export function describeError(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

type Turn = Exclude<Letter, { notice: 'stop' }>

function runTurn(kernel: Kernel, cell: Cell, life: Life, letter: Turn): void {
  const trace = letter.notice ? undefined : letter.trace
  try {
    const result = kernel.withTrace(trace, () => behave(cell, life, letter))
    // The turn may have ended its own life, e.g. by stopping the whole system.
    if (cell.life !== life) return
    if (result.type === 'continue') life.state = result.state
    else finish(kernel, cell)
  } catch (error) {
    if (cell.life === life) crash(kernel, cell, describeError(error), error)
    else reportCrash(kernel, cell, life.incarnation, describeError(error), error)
  }
}

function behave({ definition }: Cell, life: Life, letter: Turn): Next<unknown> {
  const { state, context } = life
  if (letter.notice === 'down') {
    return definition.down?.(state, letter.down, context) ?? { type: 'continue', state }
  }
  const result: unknown = definition.receive(state, letter.payload, context)
  if (isNext(result)) return result
  const returned = result instanceof Promise ? 'a promise: use context.pipe' : typeof result
  throw new TypeError(
    `receive of ${definition.kind} must return next(state) or stop(), not ${returned}`,
  )
}

function isNext(value: unknown): value is Next<unknown> {
  const type =
    typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
  return type === 'continue' || type === 'stop'
}

/** The behavior itself said `stop()`. */
function finish(kernel: Kernel, cell: Cell): void {
  const incarnation = cell.life?.incarnation ?? 0
  endLife(kernel, cell, { type: 'stopped' })
  kernel.inspector.emit({ type: 'stopped', path: cell.path, incarnation })
  decide(kernel, cell, { crashed: false, cause: 'stopped' })
}

function crash(kernel: Kernel, cell: Cell, cause: string, error?: unknown): void {
  reportCrash(kernel, cell, cell.life?.incarnation ?? 0, cause, error)
  endLife(kernel, cell, { type: 'crashed', cause })
  decide(kernel, cell, { crashed: true, cause })
}

function reportCrash(
  { inspector }: Kernel,
  cell: Cell,
  incarnation: number,
  cause: string,
  error: unknown,
): void {
  cell.lastCrash = cause
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  inspector.emit({ type: 'crashed', path: cell.path, incarnation, cause, ...stack })
}

function decide(kernel: Kernel, cell: Cell, death: { crashed: boolean; cause: string }): void {
  const { restart: policy = 'transient', restartLimit: limit = defaultRestartLimit } = cell.options
  const now = kernel.environment.clock.now()
  const { crashed, cause } = death
  switch (judgeDeath({ policy, crashed, limit, restarts: cell.restarts, now })) {
    case 'forget':
      return removeCell(kernel, cell)
    case 'escalate':
      return escalate(kernel, cell, cause)
    case 'restart': {
      const tries = restartsWithin(cell.restarts, now, limit)
      const delayMs = backoffMs(tries, restartBackoff, kernel.environment.random)
      cell.restarts = withRestart(cell.restarts, now, limit)
      cell.restartCount += 1
      if (delayMs === 0) restart(kernel, cell)
      else cell.cancelRestart = kernel.environment.clock.after(delayMs, () => restart(kernel, cell))
    }
  }
}

function escalate(kernel: Kernel, cell: Cell, cause: string): void {
  const { path, parent } = cell
  removeCell(kernel, cell)
  kernel.inspector.emit({ type: 'escalated', path, cause })
  if (parent?.life) crash(kernel, parent, `${path}: ${cause}`)
  else if (!parent) kernel.escalated(`${path}: ${cause}`)
}

function restart(kernel: Kernel, cell: Cell): void {
  cell.cancelRestart = undefined
  try {
    const { incarnation } = startLife(kernel, cell)
    kernel.inspector.emit({ type: 'restarted', path: cell.path, incarnation })
  } catch (error) {
    crash(kernel, cell, describeError(error), error)
  }
}

function startLife(kernel: Kernel, cell: Cell): Life {
  const incarnation = kernel.nextIncarnation()
  const current = (): Life | undefined => (cell.life === life ? life : undefined)
  const life: Life = {
    incarnation,
    context: kernel.createContext(cell, current, incarnation),
    made: new Set<Slot>(),
    received: new Set<Slot>(),
    watching: new Set<number>(),
    watchers: new Set(),
    timers: new Set(),
    pipes: 0,
    state: undefined,
    hasState: false,
    tellDown: (down: Down) => {
      if (cell.life !== life) return
      cell.mailbox.insist({ notice: 'down', down })
      kernel.schedule(cell)
    },
  }
  cell.life = life
  life.state = cell.definition.start(cell.config, life.context)
  life.hasState = true
  return life
}

/** Newest children first; then last words; then everyone who counted on this life is told. */
function endLife(kernel: Kernel, cell: Cell, reason: StopReason): void {
  cell.cancelRestart?.()
  cell.cancelRestart = undefined
  for (const child of [...cell.children.values()].reverse()) stopCell(kernel, child)
  const { life } = cell
  if (!life) return
  if (life.hasState) sayLastWords(kernel, cell, life, reason)
  cell.life = undefined
  for (const cancel of life.timers) cancel()
  const cause = reason.type === 'crashed' ? reason.cause : reason.type
  buryLetters(kernel, cell, cause)
  kernel.asks.endParty(life, cause)
  kernel.refuseRemoteAsks(life, cause)
  kernel.watches.endWatcher(life)
  kernel.watches.endWatched(life, reason)
}

function sayLastWords(kernel: Kernel, cell: Cell, life: Life, reason: StopReason): void {
  try {
    cell.definition.stopped?.(life.state, reason, life.context)
  } catch (error) {
    // It is ending anyway, and its end must be told: a failure of the last words is only reported.
    reportCrash(kernel, cell, life.incarnation, `in stopped: ${describeError(error)}`, error)
  }
}

// The asks among them are failed with the life itself.
function buryLetters(kernel: Kernel, { mailbox }: Cell, cause: string): void {
  for (let letter = mailbox.take(); letter; letter = mailbox.take()) {
    if (!letter.notice && letter.slot === undefined) kernel.deadLetter(letter, cause)
  }
}

function removeCell({ cells }: Kernel, cell: Cell): void {
  cells.delete(cell.path)
  cell.parent?.children.delete(cell.options.name)
}
