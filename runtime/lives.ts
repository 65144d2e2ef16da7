// A cell is the place of an actor, across its lives; a life begins with `start` and ends by stop or crash.
// What a life owns ends with it. Everything here is synchronous.
import type { Address, Ref } from '../protocol/address.ts'
import type { Envelope } from '../protocol/envelope.ts'
import type { Limits } from '../protocol/limits.ts'
import type {
  AnyBehavior,
  AnyDefinition,
  Context,
  Down,
  SpawnOptions,
  StopReason,
} from './actor.ts'
import type { Environment } from './environment.ts'
import type { Forwarding } from './forwarding.ts'
import type { Inspector } from './inspect.ts'
import type { Letter, Mailbox } from './mailbox.ts'
import type { AskParty, Asks, Slot } from './ref.ts'
import type { Topics } from './topics.ts'
import type { Traces } from './trace.ts'
import type { Watch, Watched, Watcher, Watches } from './watches.ts'

/** Twelve fields: JavaScriptCore rounds the thirteenth up to three more. */
export interface Cell {
  readonly path: string
  readonly parent: Cell | undefined
  readonly definition: AnyDefinition
  readonly config: unknown
  readonly options: SpawnOptions
  readonly mailbox: Mailbox
  /** In order of their start. */
  children: Map<string, Cell> | undefined
  /** Absent while it waits for its restart, and after its end. */
  life: ActorLife | undefined
  /** Absent until one of its lives, or of its children's, has ended. */
  past: Past | undefined
  isScheduled: boolean
  isStopping: boolean
  isDraining: boolean
}

/** What a cell remembers of lives that are over. */
export interface Past {
  /** Times of the restarts that count towards its limit, and towards its children's shared one. */
  restarts: readonly number[]
  childRestarts: readonly number[]
  restartCount: number
  lastCrash: string | undefined
  ended: StopReason | undefined
  /** Present while it waits for its restart. */
  cancelRestart: (() => void) | undefined
}

/**
 * What belongs to one life. `LifeContext` is the same object as its behavior sees it: one object, because
 * there may be a million.
 */
export class Life implements AskParty, Watcher, Watched {
  readonly kernel: Kernel
  readonly cell: Cell
  readonly incarnation: number
  behavior: AnyBehavior
  state: unknown = undefined
  hasState = false
  /** What the turn that runs is about. */
  letter: Letter | undefined = undefined
  made: Set<Slot> | undefined = undefined
  received: Slot | undefined = undefined
  watching: Map<number, Address> | undefined = undefined
  watchers: Set<Watch> | undefined = undefined
  belongings: Belongings | undefined = undefined

  constructor(kernel: Kernel, cell: Cell) {
    this.kernel = kernel
    this.cell = cell
    this.incarnation = kernel.nextIncarnation()
    this.behavior = cell.definition
  }

  get isCurrent(): boolean {
    return (this.cell.life as Life | undefined) === this
  }

  /** Behind what waits; for what the actor itself has asked for. */
  insist(letter: Letter): void {
    if (!this.isCurrent) return
    this.cell.mailbox.insist(letter)
    this.kernel.schedule(this.cell)
  }

  tellDown(down: Down, watch: number): void {
    this.insist({ notice: 'down', down, watch })
  }

  own(): Belongings {
    this.belongings ??= { ends: new Set(), timers: 0, pipes: 0, stash: [], idle: undefined }
    return this.belongings
  }
}

export type ActorLife = Life & Context<unknown>

/** What few lives have, made when first needed. */
export interface Belongings {
  /** Timers and subscriptions: called at the end. */
  readonly ends: Set<() => void>
  timers: number
  pipes: number
  stash: Letter[]
  /** Its receive time-out, told of every message. */
  idle: { heard(): void; cancel(): void } | undefined
}

/** What cells need of their system. */
export interface Kernel {
  readonly environment: Environment
  readonly limits: Limits
  readonly inspector: Inspector
  readonly cells: Map<string, Cell>
  readonly asks: Asks
  readonly watches: Watches
  readonly topics: Topics
  /** A number that no life of this path, in this or a former life of the member, has had. */
  nextIncarnation(): number
  createLife(cell: Cell): ActorLife
  refTo(path: string): Ref<never>
  /** Stops the actor at a path of this member. */
  stopAt(path: string): void
  /** The same once it has handled what waits. */
  drainAt(path: string): void
  readonly forwarding: Forwarding
  /** Of the turn that runs, or of a new cause. */
  trace(): string
  schedule(cell: Cell): void
  /** The asks of other members that this life has received get no reply. */
  refuseRemoteAsks(life: Life, cause: string): void
  /** A letter that nobody will read. */
  deadLetter(envelope: Envelope, cause: string): void
  readonly turn: Turn
  readonly traces: Traces
  escalated(cause: string): void
}

/** The turn that runs now, of whatever actor. */
export interface Turn {
  isRunning: boolean
  /** All that the turn sends carries it; where the turn came without one, it begins when it is needed. */
  trace: string | undefined
}

export function pastOf(cell: Cell): Past {
  cell.past ??= {
    restarts: [],
    childRestarts: [],
    restartCount: 0,
    lastCrash: undefined,
    ended: undefined,
    cancelRestart: undefined,
  }
  return cell.past
}

/** In order of their start. */
export function childrenOf({ children }: Cell): Cell[] {
  return children ? [...children.values()] : []
}

export function describeError(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** Throws what `start` throws; the life is then there, without a state, and has to be ended. */
export function startLife(kernel: Kernel, cell: Cell): ActorLife {
  const life = kernel.createLife(cell)
  cell.life = life
  const { definition, config, past } = cell
  life.state = definition.start(config, life)
  life.hasState = true
  if (past?.ended && definition.restarted) {
    life.state = definition.restarted(life.state, past.ended, life)
  }
  return life
}

/** Newest children first; then last words; then everyone who counted on this life is told. */
export function endLife(kernel: Kernel, cell: Cell, reason: StopReason): void {
  if (cell.past?.cancelRestart) {
    cell.past.cancelRestart()
    cell.past.cancelRestart = undefined
  }
  for (const child of childrenOf(cell).reverse()) stopCell(kernel, child)
  const { life } = cell
  if (!life) return
  if (life.hasState) sayLastWords(kernel, cell, life, reason)
  cell.life = undefined
  const cause = reason.type === 'crashed' ? reason.cause : reason.type
  buryLetters(kernel, cell, life, cause)
  endBelongings(life)
  kernel.asks.endParty(life, cause)
  kernel.refuseRemoteAsks(life, cause)
  kernel.watches.endWatcher(life)
  kernel.watches.endWatched(life, reason)
}

const STOPPED = { type: 'stopped' } as const

/** Ends the cell for good, children first. */
export function stopCell(kernel: Kernel, cell: Cell): void {
  const incarnation = cell.life?.incarnation ?? 0
  endLife(kernel, cell, STOPPED)
  removeCell(kernel, cell)
  kernel.inspector.emit({ type: 'stopped', path: cell.path, incarnation })
}

export function removeCell({ cells }: Kernel, cell: Cell): void {
  cells.delete(cell.path)
  cell.parent?.children?.delete(cell.options.name)
}

export function reportCrash(
  { inspector }: Kernel,
  cell: Cell,
  incarnation: number,
  cause: string,
  error: unknown,
): void {
  pastOf(cell).lastCrash = cause
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  inspector.emit({ type: 'crashed', path: cell.path, incarnation, cause, ...stack })
}

function sayLastWords(kernel: Kernel, cell: Cell, life: ActorLife, reason: StopReason): void {
  try {
    cell.definition.stopped?.(life.state, reason, life)
  } catch (error) {
    // It is ending anyway, and its end must be told: a failure of the last words is only reported.
    reportCrash(kernel, cell, life.incarnation, `in stopped: ${describeError(error)}`, error)
  }
}

// The asks among them are failed with the life itself.
function buryLetters(kernel: Kernel, { mailbox }: Cell, life: Life, cause: string): void {
  const bury = (letter: Letter): void => {
    if (!letter.notice && letter.slot === undefined) kernel.deadLetter(letter, cause)
  }
  for (const letter of life.belongings?.stash ?? []) bury(letter)
  for (let letter = mailbox.take(); letter; letter = mailbox.take()) bury(letter)
}

function endBelongings({ belongings }: Life): void {
  if (!belongings) return
  belongings.idle?.cancel()
  for (const end of [...belongings.ends]) end()
}
