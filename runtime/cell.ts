// The turns of a cell: it takes a letter, its behavior answers, and the answer is carried out.
import type { AnyBehavior, AnyDefinition, Next, SpawnOptions } from './actor.ts'
import { StartError } from './actor.ts'
import {
  type ActorLife,
  type Cell,
  describeError,
  endLife,
  type Kernel,
  type Life,
  removeCell,
  reportCrash,
  startLife,
  stopCell,
} from './lives.ts'
import { type DownNotice, type Letter, Mailbox, type StopNotice } from './mailbox.ts'
import { spanOf } from './spans.ts'
import { crash, finish } from './supervisor.ts'
import { isSampled } from './trace.ts'

/** Starts the first life at once; throws `StartError` where that fails, and leaves nothing behind. */
export function spawnCell(
  kernel: Kernel,
  parent: Cell | undefined,
  start: { definition: AnyDefinition; config: unknown; options: SpawnOptions },
): Cell {
  const { definition, config, options } = start
  const path = `${parent?.path ?? ''}/${options.name}`
  const problem = judgeStart(kernel, path, options)
  if (problem !== undefined) throw new StartError(path, problem)
  const cell: Cell = {
    path,
    parent,
    definition,
    config,
    options,
    mailbox: new Mailbox(options.mailboxMessagesMax ?? kernel.limits.mailboxMessagesMax),
    children: undefined,
    life: undefined,
    past: undefined,
    isScheduled: false,
    isStopping: false,
    isDraining: false,
  }
  kernel.cells.set(path, cell)
  if (parent) {
    parent.children ??= new Map()
    parent.children.set(options.name, cell)
  }
  try {
    const { incarnation } = startLife(kernel, cell)
    kernel.inspector.emit({ type: 'spawned', path, incarnation, kind: definition.kind })
    return cell
  } catch (error) {
    endLife(kernel, cell, { type: 'crashed', cause: describeError(error) })
    removeCell(kernel, cell)
    throw new StartError(path, describeError(error), { cause: error })
  }
}

function judgeStart(
  { cells, limits }: Kernel,
  path: string,
  { name, significant = false, restart }: SpawnOptions,
): string | undefined {
  if (!/^[^/#~\s][^/#\s]*$/.test(name)) return 'a name has no slash, hash or space'
  if (cells.has(path)) return 'this name is taken'
  if (cells.size >= limits.actorsMax) return `${limits.actorsMax} actors are the most`
  if (significant && restart === 'permanent') return 'what is permanent never ends by itself'
  return undefined
}

/** Handles up to so many letters; says how many. */
export function runCell(kernel: Kernel, cell: Cell, lettersMax: number): number {
  for (let handled = 0; handled < lettersMax; handled++) {
    const { life } = cell
    const letter = life && cell.mailbox.take()
    if (!letter) return handled
    if (letter.notice === 'stop') stopCell(kernel, cell)
    else if (letter.notice !== 'down' || isWatching(life, letter))
      runTurn(kernel, cell, life, letter)
  }
  return lettersMax
}

type TurnLetter = Exclude<Letter, StopNotice>

function runTurn(kernel: Kernel, cell: Cell, life: ActorLife, letter: TurnLetter): void {
  const { turn, inspector } = kernel
  const trace = letter.notice ? undefined : letter.trace
  turn.isRunning = true
  turn.trace = trace
  life.letter = letter
  try {
    if (trace !== undefined && inspector.isSpanning && isSampled(trace)) {
      runSpan(kernel, cell, life, letter, trace)
    } else {
      answer(kernel, cell, life, letter)
    }
  } catch (error) {
    if (cell.life === life) crash(kernel, cell, describeError(error), error)
    else reportCrash(kernel, cell, life.incarnation, describeError(error), error)
  } finally {
    turn.isRunning = false
    turn.trace = undefined
    life.letter = undefined
  }
}

function answer(kernel: Kernel, cell: Cell, life: ActorLife, letter: TurnLetter): void {
  const result = behave(life, letter)
  // The turn may have ended its own life, e.g. by stopping the whole system.
  if (cell.life !== life) return
  if (result.type === 'continue') {
    life.state = result.state
  } else if (result.type === 'stop') {
    finish(kernel, cell)
  } else {
    life.state = result.state
    life.behavior = result.behavior as AnyBehavior
  }
}

/** A turn of a sampled trace is a span of its own, and the parent of what it sends. */
function runSpan(
  kernel: Kernel,
  cell: Cell,
  life: ActorLife,
  letter: TurnLetter,
  parent: string,
): void {
  const trace = kernel.traces.child(parent)
  kernel.turn.trace = trace
  const span = spanOf(kernel, cell, nameOf(letter), trace, parent)
  try {
    answer(kernel, cell, life, letter)
  } finally {
    span.end()
  }
}

function nameOf(letter: TurnLetter): string {
  if (letter.notice) return letter.notice
  const { payload } = letter
  const type: unknown =
    typeof payload === 'object' && payload !== null && 'type' in payload ? payload.type : undefined
  return typeof type === 'string' ? type : typeof payload
}

function behave(life: ActorLife, letter: TurnLetter): Next<unknown, never> {
  const { state, behavior } = life
  if (letter.notice === 'down') {
    return behavior.down?.(state, letter.down, life) ?? { type: 'continue', state }
  }
  life.belongings?.idle?.heard()
  const result: unknown = behavior.receive(state, letter.payload, life)
  if (isNext(result)) return result
  const returned = result instanceof Promise ? 'a promise: use context.pipe' : typeof result
  const { kind } = life.cell.definition
  throw new TypeError(`receive of ${kind} must return next(state) or stop(), not ${returned}`)
}

function isNext(value: unknown): value is Next<unknown, never> {
  const type =
    typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
  return type === 'continue' || type === 'stop' || type === 'become'
}

/** False for a Down whose watch was called off while it waited. */
function isWatching(life: Life, { watch }: DownNotice): boolean {
  return life.watching?.delete(watch) ?? false
}
