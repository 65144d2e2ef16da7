// One life of a run in the control process: its folder locked, its member listening, its pool and compute
// threads started; and all of it ended with the run, however it ends.
import {
  type ComputeThread,
  createPool,
  createSystem,
  type Environment,
  type Pool,
  type System,
} from '../../runtime/index.ts'
import { within } from '../deadline.ts'
import { lockRun } from '../run-lock.ts'
import { loadRecord, type RunRecord, saveRecord } from './record.ts'
import {
  createHalt,
  type Halt,
  keep,
  RunFailedError,
  RunStoppedError,
  type RunWorld,
  type UnderWay,
} from './world.ts'

export interface RunHandle<Report> {
  readonly done: Promise<Report>
  /** Checkpoints, stops every process, rejects `done` with `RunStoppedError`. */
  stop(): Promise<void>
}

/** What has to end with the run, as far as it has come. */
export interface Life {
  readonly halt: Halt
  unlock?: () => void
  threads?: readonly ComputeThread[]
  system?: System
  pool?: Pool
  underWay?: UnderWay
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
  const life: Life = { halt }
  let isOver = false
  const done = halt.until(run(life)).finally(async () => {
    isOver = true
    await life.underWay?.cluster.stop()
    await life.pool?.stop()
    life.system?.stop()
    for (const thread of life.threads ?? []) thread.close()
    life.unlock?.()
  })
  done.catch(() => {})
  return {
    done,
    async stop() {
      if (!isOver && life.underWay) await checkpoint(life.underWay)
      halt.because(new RunStoppedError(`stopped; ${adviceFor(world)}`))
      await done.catch(() => {})
    },
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
  await life.halt.until(system.listen({ port: options.port }))
  const pool = createPool({ system, module: world.workerModule, life: record.life })
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
