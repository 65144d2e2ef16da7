// A speech run from data to report: prepare, then the parts of the plan, with models judged on
// development strings as they appear, then the test set once. Runs in the control process.
import { acousticNetwork } from '../../models/networks/acoustic.ts'
import { initialise, layoutOf, shardRanges } from '../../models/parameters.ts'
import { randomFor } from '../../protocol/random.ts'
import {
  type ComputeThread,
  createPool,
  createSystem,
  type Environment,
  type Pool,
  type System,
} from '../../runtime/index.ts'
import { startCluster } from '../cluster.ts'
import { within } from '../deadline.ts'
import { deviceOptionsOf } from '../devices.ts'
import type { Report } from '../report.ts'
import { lockRun } from '../run-lock.ts'
import { speechEvaluator } from './evaluator.ts'
import { trainPart } from './part.ts'
import { planSpeech, type TrainingPart } from './plan.ts'
import { prepareCorpus } from './prepare.ts'
import { concludeRun } from './report.ts'
import { loadRecord, openRecord, saveRecord } from './run-record.ts'
import type { NetworkShape, SpeechTask } from './task.ts'
import {
  createHalt,
  type Halt,
  keep,
  RunFailedError,
  RunStoppedError,
  type RunWorld,
  timed,
  type UnderWay,
} from './world.ts'

export interface SpeechRun {
  readonly done: Promise<Report>
  /** Checkpoints, stops every process, rejects `done` with `RunStoppedError`. */
  stop(): Promise<void>
}

/** What has to end with the run, as far as it has come. */
interface Started {
  unlock?: () => void
  threads?: readonly ComputeThread[]
  system?: System
  pool?: Pool
  underWay?: UnderWay
}

export function startSpeechRun(world: RunWorld): SpeechRun {
  const halt = createHalt()
  const started: Started = {}
  let isOver = false
  const done = halt.until(runSpeech(world, halt, started)).finally(async () => {
    isOver = true
    await started.underWay?.cluster.stop()
    await started.pool?.stop()
    started.system?.stop()
    for (const thread of started.threads ?? []) thread.close()
    started.unlock?.()
  })
  done.catch(() => {})
  return {
    done,
    async stop() {
      if (!isOver && started.underWay) await checkpoint(started.underWay)
      halt.because(new RunStoppedError(`stopped; ${adviceFor(world)}`))
      await done.catch(() => {})
    },
  }
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

async function runSpeech(world: RunWorld, halt: Halt, started: Started): Promise<Report> {
  const { environment, options, emit } = world
  const { disk, clock, compute } = environment
  const begun = clock.now()
  // Now, not when the corpus is prepared.
  if (options.deno > 0) environment.processes.checkEngine?.('deno')
  disk.makeFolder(`${options.out}/models`)
  started.unlock = lockRun(environment, options.out)
  const record = openRecord(disk, options)
  saveRecord(disk, options.out, record)
  const system = createSystem({
    environment,
    member: 'control',
    token: tokenFor(environment),
    onEscalated: (cause) => halt.because(failure(world, cause)),
  })
  started.system = system
  await halt.until(system.listen({ port: options.port }))
  const pool = createPool({ system, module: world.workerModule, life: record.life })
  started.pool = pool
  const threads = Array.from({ length: world.threads }, () => compute.start(world.computeModule))
  started.threads = threads
  const { data, test, seed, snr, strings } = options
  const preparing = prepareCorpus({
    disk,
    threads,
    emit,
    folder: `${options.from ?? options.out}/corpus`,
    corpora: { data, seed, snr, strings, ...(test !== undefined && { test }) },
  })
  const corpus = await halt.until(timed(world, 'prepare', preparing))

  const shape: NetworkShape = { ...corpus.shape, hidden: options.hidden }
  const task: SpeechTask = { folder: corpus.folder, seed, network: shape, threads: 1 }
  const layout = layoutOf(acousticNetwork({ ...shape, nonlinearity: 'relu' }).parameters)
  const evaluator = await halt.until(speechEvaluator({ threads, task, corpus }))
  const plan = planSpeech(options, corpus.training)
  const cluster = startCluster({
    system,
    pool,
    clock,
    folder: `${options.out}/shards`,
    ranges: shardRanges(layout, options.shards),
    trainerKind: 'sequence-trainer',
    trainerEngine: (index) => (index >= options.workers - options.deno ? 'deno' : undefined),
    latticeWorkers: options.latticeWorkers,
    trainer: {
      codec: options.codec,
      task,
      lanes: LANES_MAX,
      stepMsMax: 1_000 * options.stepSeconds,
    },
    devices: {
      ...deviceOptionsOf(options.device, options.devicePolicy),
      taskOn: (device) => ({ ...task, device }),
    },
    restarts: record.restarts,
    emit,
    // No step is finished before a part has begun.
    onFinished: (step) => run.onStep(step),
    onGaveUp: (cause) => halt.because(failure(world, cause)),
  })
  const run: UnderWay = {
    world,
    task,
    corpus,
    cluster,
    threads,
    evaluator,
    halt,
    framesPlanned: plan.reduce((sum, part) => sum + epochsOf(part) * corpus.training.frames, 0),
    begun,
    secondsBefore: record.seconds,
    record: { ...record, skipped: corpus.skipped },
    onStep: () => {},
  }
  started.underWay = run
  // The world did not refuse: from here on a run that dies can be resumed.
  keep(run)
  const initial = () => initialise(layout, randomFor(seed, 'initial'))
  for (const part of plan) {
    if (!run.record.finished.includes(part.name)) await trainPart(run, part, initial)
  }
  const statuses = await halt.until(cluster.statuses())
  return await halt.until(concludeRun(run, { statuses, parameters: layout.count }))
}

function failure({ options }: RunWorld, cause: string): RunFailedError {
  return new RunFailedError(`${cause}; then go on with --resume ${options.out}`)
}

/** Lanes a trainer has; a phase may use fewer. */
const LANES_MAX = 2

function epochsOf({ start, stepsPerEpoch }: TrainingPart): number {
  return start.steps / stepsPerEpoch
}

function tokenFor({ random }: Environment): string {
  return Array.from({ length: 4 }, () => random.below(2 ** 32).toString(16)).join('')
}
