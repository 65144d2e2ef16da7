// One life of a run in the control process: its folder locked, its member listening, its pool and compute
// threads started; and all of it ended with the run, however it ends.
import {
  type ComputeThread,
  createPool,
  createSystem,
  type Environment,
  exportTraces,
  type Pool,
  type System,
  type TraceExport,
  traceExportOptions,
} from '../../runtime/index.ts'
import { within } from '../deadline.ts'
import { lockRun } from '../run-lock.ts'
import type { RunEvent } from '../events.ts'
import type { RunInsight } from '../insight.ts'
import type { RunOptions } from './options.ts'
import { loadRecord, type RunRecord, saveRecord } from './record.ts'
import { type Course, endOf, type RunSteering, stateOf, steerRun } from './steered.ts'
import { NotPossibleError } from './steering.ts'
import {
  createHalt,
  type Halt,
  keep,
  RunFailedError,
  RunStoppedError,
  type RunWorld,
  type UnderWay,
} from './world.ts'

export interface RunHandle<Report> extends RunSteering {
  readonly done: Promise<Report>
  /** Checkpoints, stops every process, rejects `done` with `RunStoppedError`. */
  stop(): Promise<void>
  /** The same, once the steps under way are finished. Rejects with `NotPossibleError`. */
  drain(): Promise<void>
}

/** What has to end with the run, as far as it has come. */
export interface Life {
  readonly halt: Halt
  unlock?: () => void
  threads?: readonly ComputeThread[]
  system?: System
  traces?: TraceExport
  pool?: Pool
  underWay?: UnderWay
  insight?: RunInsight
  /** Its processes are ending, or ended. */
  isOver: boolean
  /** What comes, or nothing where the run ends first. */
  whileUnderWay<T>(promise: Promise<T>): Promise<T | undefined>
}

/** What a run has once its life is opened. */
export interface OpenedLife<Record> {
  readonly record: Record
  readonly system: System
  readonly pool: Pool
  readonly threads: readonly ComputeThread[]
}

export function startRun<Options extends RunOptions, Report>(
  given: RunWorld<Options>,
  run: (world: RunWorld<Options>, life: Life) => Promise<Report>,
): RunHandle<Report> {
  const course: Course = { isPaused: false }
  const world = {
    ...given,
    emit(event: RunEvent) {
      if (event.type === 'phase') course.phase = event.phase
      given.emit(event)
    },
  }
  const halt = createHalt()
  const gone = Promise.withResolvers<undefined>()
  const life: Life = {
    halt,
    isOver: false,
    whileUnderWay: (promise) => Promise.race([promise, gone.promise]),
  }
  const done = halt.until(run(world, life)).then(
    (report) => {
      course.end = 'finished'
      return report
    },
    (error: unknown) => {
      course.end = endOf(error)
      throw error
    },
  )
  const over = done.finally(async () => {
    life.isOver = true
    gone.resolve(undefined)
    await endLife(life)
  })
  over.catch(() => {})

  async function stop(): Promise<void> {
    course.ending = 'stopping'
    if (!course.end && life.underWay) await checkpoint(life.underWay)
    halt.because(new RunStoppedError(`stopped; ${adviceFor(world)}`))
    await over.catch(() => {})
  }

  return {
    ...steerRun(world, life, course),
    get state() {
      return stateOf(course)
    },
    get system() {
      return life.system
    },
    done: over,
    stop,
    async drain() {
      const { underWay } = life
      if (!underWay || course.end || course.ending) {
        throw new NotPossibleError(`the run is ${stateOf(course)}`)
      }
      course.ending = 'draining'
      world.emit({ type: 'steered', what: 'draining' })
      await halt.until(finishSteps(underWay)).catch(() => {})
      await stop()
    },
  }
}

async function endLife(life: Life): Promise<void> {
  await life.underWay?.cluster.stop()
  await life.pool?.stop()
  await life.traces?.stop()
  life.system?.stop()
  for (const thread of life.threads ?? []) thread.close()
  life.unlock?.()
}

const DRAIN_POLL_MS = 20
const POLLS_PER_ROUND = 10
/** Beyond what a step may take: then it is given up, and done again when the run is resumed. */
const DRAIN_MS_MAX = 10_000

/** Hands out no more steps, and waits for those under way. */
async function finishSteps({ cluster, world }: UnderWay): Promise<void> {
  const { environment, options } = world
  const { clock } = environment
  const until = clock.now() + 1_000 * options.stepSeconds + DRAIN_MS_MAX
  cluster.pause(true)
  for (let polls = 1; clock.now() < until; polls++) {
    if ((await cluster.source()).taken.length === 0) return
    // Those that wait for others to make a round whole would wait for ever.
    if (polls % POLLS_PER_ROUND === 0) await cluster.completeRounds()
    await new Promise<void>((resolve) => clock.after(DRAIN_POLL_MS, resolve))
  }
}

export async function openLife<Record extends RunRecord>(
  world: RunWorld,
  life: Life,
  openRecord: () => Record,
): Promise<OpenedLife<Record>> {
  const { environment, options } = world
  const { disk, compute } = environment
  // Now, not when everything is prepared.
  if (options.deno > 0) environment.processes.checkEngine?.('deno')
  disk.makeFolder(`${options.out}/models`)
  life.unlock = lockRun(environment, options.out)
  const record = openRecord()
  saveRecord(disk, options.out, record)
  const system = createSystem({
    environment,
    member: 'control',
    token: tokenFor(environment),
    onEscalated: (cause) => life.halt.because(failure(world, cause)),
  })
  life.system = system
  const traces = traceExportOptions(process.env)
  if (traces) life.traces = exportTraces(system, traces)
  await life.halt.until(system.listen())
  const { workerModule: module, allowFaults = false } = world
  const pool = createPool({ system, module, life: record.life, allowFaults })
  life.pool = pool
  const threads = Array.from({ length: world.threads }, () => compute.start(world.computeModule))
  life.threads = threads
  return { record, system, pool, threads }
}

export function failure({ options }: RunWorld, cause: string): RunFailedError {
  return new RunFailedError(`${cause}; then go on with --resume ${options.out}`)
}

/** A shard that does not answer has its journal: nothing depends on the snapshot but a faster start. */
const CHECKPOINT_MS_MAX = 3_000

async function checkpoint(run: UnderWay): Promise<void> {
  const { cluster, world } = run
  cluster.pause(true)
  try {
    await within(world.environment.clock, CHECKPOINT_MS_MAX, cluster.checkpoint())
    keep(run)
  } catch (error) {
    const message = `no snapshot was written (${error}): resuming replays the journals`
    world.emit({ type: 'note', message })
  }
}

function adviceFor({ environment, options }: RunWorld): string {
  const isKept = loadRecord(environment.disk, options.out) !== undefined
  return isKept ? `go on with --resume ${options.out}` : 'nothing was learnt yet: start again'
}

function tokenFor({ random }: Environment): string {
  return Array.from({ length: 4 }, () => random.below(2 ** 32).toString(16)).join('')
}
