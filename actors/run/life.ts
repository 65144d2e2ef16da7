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
import type { RunInsight } from '../insight.ts'
import { lockRun } from '../run-lock.ts'
import { NotPossibleError } from '../cluster/not-possible.ts'
import { isAtRest } from '../cluster/steering.ts'
import { loadRecord, type RunRecord, saveRecord } from './record.ts'
import { type RunState, type RunSteering, reasons, runIdOf, verbsOf } from './steering.ts'
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
  /** Absent before the run has prepared its data; it stays when the run has ended. */
  insight(): RunInsight | undefined
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

export function startRun<Report>(
  world: RunWorld,
  run: (life: Life) => Promise<Report>,
): RunHandle<Report> {
  const halt = createHalt()
  const gone = Promise.withResolvers<undefined>()
  const life: Life = {
    halt,
    isOver: false,
    whileUnderWay: (promise) => Promise.race([promise, gone.promise]),
  }
  let ending: 'draining' | 'stopping' | undefined
  let outcome: 'finished' | 'stopped' | 'failed' | undefined
  const done = endOf(life, run(life), {
    onOver() {
      ending = 'stopping'
      life.isOver = true
      gone.resolve(undefined)
    },
    onOutcome: (how) => (outcome = how),
  })
  done.catch(() => {})
  const stateNow = (): RunState => outcome ?? ending ?? stateOf(life.underWay)
  const end = async (what: string): Promise<void> => {
    halt.because(new RunStoppedError(`${what}; ${adviceFor(world)}`))
    await done.catch(() => {})
  }
  return {
    ...verbsOf({ world, underWay: () => life.underWay, stateNow, done }),
    id: runIdOf(world.options.out),
    get state() {
      return stateNow()
    },
    get system() {
      return life.system
    },
    done,
    insight: () => life.insight,
    async drain() {
      const { underWay } = life
      const state = stateNow()
      if (!underWay || (state !== 'training' && state !== 'paused')) {
        throw new NotPossibleError(reasons[state])
      }
      ending = 'draining'
      world.emit({ type: 'steered', what: 'draining' })
      underWay.cluster.pause()
      await halt.until(settleSteps(underWay)).catch(() => {})
      if (stateNow() === 'draining') await checkpoint(underWay)
      await end('drained')
    },
    async stop() {
      const isLate = outcome !== undefined || ending === 'stopping'
      if (!isLate) ending = 'stopping'
      if (!isLate && life.underWay) await checkpoint(life.underWay)
      await end('stopped')
    },
  }
}

/** What is started for a run ends with it. */
async function endOf<Report>(
  life: Life,
  run: Promise<Report>,
  heard: {
    readonly onOver: () => void
    readonly onOutcome: (outcome: 'finished' | 'stopped' | 'failed') => void
  },
): Promise<Report> {
  try {
    const report = await life.halt.until(run).finally(async () => {
      heard.onOver()
      await life.underWay?.cluster.stop()
      await life.pool?.stop()
      await life.traces?.stop()
      life.system?.stop()
      for (const thread of life.threads ?? []) thread.close()
      life.unlock?.()
    })
    heard.onOutcome('finished')
    return report
  } catch (error) {
    heard.onOutcome(error instanceof RunStoppedError ? 'stopped' : 'failed')
    throw error
  }
}

function stateOf(run: UnderWay | undefined): RunState {
  if (!run) return 'preparing'
  if (!run.part) return 'evaluating'
  return run.cluster.isPaused ? 'paused' : 'training'
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

/** What takes longer is computed again by the next life of the run. */
const DRAIN_MS_MAX = 60_000
const DRAIN_POLL_MS = 50

/** No step is given out any more: until those under way are applied, or kept by the shards for their round. */
async function settleSteps({ cluster, world }: UnderWay): Promise<void> {
  const { clock } = world.environment
  const settled = async (): Promise<void> => {
    for (;;) {
      const status = await cluster.sourceStatus()
      if (isAtRest(status, await cluster.statuses())) return
      await new Promise<void>((resolve) => clock.after(DRAIN_POLL_MS, resolve))
    }
  }
  await within(clock, DRAIN_MS_MAX, settled(), 'the steps under way were not done').catch((error) =>
    world.emit({ type: 'note', message: `${error}: they are done again` }),
  )
}

async function checkpoint(run: UnderWay): Promise<void> {
  const { cluster, world } = run
  cluster.pause()
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
