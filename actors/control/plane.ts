// What the control plane knows: the runs it has seen, what their events amount to, and the members of the
// one that is under way. Routes read and steer it; nothing here knows of HTTP.
import type { Run as RunShown } from '../../protocol/control.ts'
import { createObserver, type Disk, type Environment, type Observer } from '../../runtime/index.ts'
import type { RunEvent } from '../events.ts'
import type { GivenOptions, Run } from '../run/launched.ts'
import type { Report } from '../report.ts'
import { createEventLog, type EventLog } from './event-log.ts'
import { createHistory, type HistoryKeeper } from './history.ts'
import { askFile, askInsight, type ModelBook, type ModelEntry } from './model-book.ts'
import { createObserved, type Observed } from './observed.ts'
import { foldEvent, noFigures, type RunFigures } from './run-view.ts'
import { createShardBook, type ShardBook } from './shard-book.ts'

export interface PlaneOptions {
  readonly environment: Environment
  /** Starts another run; absent where the plane belongs to one. Throws `OptionError`. */
  readonly start?: (task: RunShown['task'], options: GivenOptions) => Promise<Run>
  readonly allowFaults?: boolean
  /** Beside those of the runs. */
  readonly models?: readonly ModelEntry[]
}

export interface Plane {
  readonly environment: Environment
  readonly log: EventLog
  readonly allowFaults: boolean
  readonly models: ModelBook
  /** Newest first. */
  readonly runs: readonly RunBook[]
  /** The run that is under way, else the last one. */
  readonly current: RunBook | undefined
  add(run: Run): RunBook
  /** Called when there is another run. */
  onRun(listener: () => void): void
  start(task: RunShown['task'], options: GivenOptions): Promise<RunBook>
  close(): void
}

/** A run and what has been heard of it. */
export interface RunBook {
  readonly id: string
  readonly run: Run
  readonly history: HistoryKeeper
  readonly observed: Observed
  readonly shards: ShardBook
  readonly isOver: boolean
  readonly model: ModelEntry | undefined
  show(): RunShown
}

/** Runs that are remembered after their end. */
const RUNS_MAX = 64
const OBSERVE_MS = 1_000

export class RunActiveError extends Error {
  override readonly name = 'RunActiveError'
}

export function createPlane(options: PlaneOptions): Plane {
  const { environment, allowFaults = false } = options
  const log = createEventLog({ clock: environment.clock })
  const books: RunBook[] = []
  const listeners: (() => void)[] = []
  /** Between the wish for a run and its start there must not be another. */
  let isStarting = false

  function add(run: Run): RunBook {
    const book = openBook(freeId(run.id, books), run, { environment, log })
    books.unshift(book)
    books.length = Math.min(books.length, RUNS_MAX)
    for (const listener of listeners) listener()
    return book
  }

  return {
    environment,
    log,
    allowFaults,
    models: {
      list: () => [...books.flatMap(({ model }) => model ?? []), ...(options.models ?? [])],
    },
    runs: books,
    get current() {
      return books.find(({ isOver }) => !isOver) ?? books[0]
    },
    add,
    onRun: (listener) => void listeners.push(listener),
    async start(task, given) {
      if (!options.start) throw new RunActiveError('this control plane belongs to one run')
      const active = books.find(({ isOver }) => !isOver)
      if (active || isStarting) {
        throw new RunActiveError(`${active?.id ?? 'another run'} is under way: stop it first`)
      }
      isStarting = true
      try {
        return add(await options.start(task, given))
      } finally {
        isStarting = false
      }
    },
    close: () => log.close(),
  }
}

/** A folder may have had a run before: its second one is another. */
function freeId(id: string, books: readonly RunBook[]): string {
  const isTaken = (name: string): boolean => books.some((book) => book.id === name)
  let name = id
  for (let number = 2; isTaken(name); number++) name = `${id}-${number}`
  return name
}

function openBook(
  id: string,
  run: Run,
  { environment, log }: { readonly environment: Environment; readonly log: EventLog },
): RunBook {
  const { clock } = environment
  const begun = clock.now()
  const startedAt = Math.round(clock.wallTime())
  const history = createHistory()
  const observed = createObserved()
  let observer: Observer | undefined
  let figures: RunFigures = noFigures
  let state = run.state
  let end: Pick<RunShown, 'endedAt' | 'failure' | 'report'> | undefined
  let written: ModelEntry | undefined

  function hear(event: RunEvent): void {
    figures = foldEvent(figures, event)
    history.note(event, (clock.now() - begun) / 1_000)
    log.put({ run: id, ...event })
    look()
  }

  /** What is not said by events. */
  function look(): void {
    observer ??= observe(id, run, { log, observed })
    if (run.state === state) return
    state = run.state
    log.put({ type: 'run', run: id, state })
  }

  async function follow(): Promise<void> {
    try {
      for await (const event of run.events()) hear(event)
      const report = await run.done
      end = { report: { ...report } }
      written = writtenModel(id, report, environment.disk)
    } catch (error) {
      end = run.state === 'failed' ? { failure: lineOf(error) } : {}
    }
    end = { ...end, endedAt: Math.round(clock.wallTime()) }
    observer?.stop()
    // Nobody is there any more.
    observed.take([])
    look()
  }
  void follow()
  const shards = createShardBook(id, run, clock)

  return {
    id,
    run,
    history,
    get observed() {
      look()
      return observed
    },
    shards,
    get isOver() {
      return end !== undefined
    },
    get model() {
      return written ?? learningModel(id, run)
    },
    show() {
      look()
      const { seed, out } = run.options
      const { task, state: now } = run
      // As it is now, which need not be as it began.
      const policy = shards.known[0]?.policy || run.options.policy
      const identity = { id, task, state: now, startedAt, out, policy, seed }
      return { ...identity, ...figures, ...end, options: { ...run.options } }
    },
  }
}

function writtenModel(id: string, { task, model }: Report, disk: Disk): ModelEntry {
  const files = { onnx: model, safetensors: model.replace(/\.onnx$/, '.safetensors') }
  const named = { name: id, run: id, task, files }
  // What somebody else made is asked by whoever knows what it takes.
  return task === 'model' ? named : { ...named, predict: askFile(disk, { task, path: model }) }
}

/** What a run under way has learnt so far can be asked, not downloaded. */
function learningModel(id: string, run: Run): ModelEntry | undefined {
  const insight = run.insight()
  const predict = insight && askInsight(insight)
  return predict && { name: id, run: id, task: run.task, files: {}, predict }
}

function observe(
  id: string,
  run: Run,
  { log, observed }: { readonly log: EventLog; readonly observed: Observed },
): Observer | undefined {
  const { system } = run
  if (!system) return undefined
  const observer = createObserver({
    system,
    everyMs: OBSERVE_MS,
    onRefreshed: () => observed.take(observer.statuses()),
  })
  observer.onLog(({ member, event }) => {
    // Who is there is said by all who hear of it; the control member's word is the one that counts.
    const isGossip = event.type.startsWith('member-') && member !== system.member
    if (!isGossip) log.put({ run: id, member, ...event })
  })
  observer.start()
  return observer
}

function lineOf(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
  return line
}
