// A speech run from data to report: prepare, then the parts of the plan, with models judged on
// development strings as they appear, then the test set once. Runs in the control process.
import { acousticNetwork } from '../models/networks/acoustic.ts'
import { initialise, layoutOf, shardRanges } from '../models/parameters.ts'
import { assert } from '../protocol/assert.ts'
import { randomFor } from '../protocol/random.ts'
import { alignedFloat32, bytesOf } from '../protocol/tensor.ts'
import {
  type ComputeThread,
  createPool,
  createSystem,
  type Disk,
  type Environment,
  type Pool,
  type System,
} from '../runtime/index.ts'
import { appliedCount } from './applied-set.ts'
import { dueFaults } from './chaos-plan.ts'
import { type Cluster, startCluster } from './cluster.ts'
import type { RunEvent } from './events.ts'
import type { FinishedStep } from './example-source.ts'
import type { Report } from './report.ts'
import { type Candidate, loadRecord, modelPath, type RunRecord, saveRecord } from './run-record.ts'
import { type Evaluator, speechEvaluator } from './speech-evaluator.ts'
import type { CompleteOptions } from './speech-options.ts'
import { planSpeech, REALIGN_SCALE, type TrainingPart } from './speech-plan.ts'
import { type PreparedCorpus, prepareCorpus, realign } from './speech-prepare.ts'
import { concludeRun } from './speech-report.ts'
import type { NetworkShape, SpeechTask } from './speech-task.ts'

export interface RunWorld {
  readonly environment: Environment
  readonly options: CompleteOptions
  readonly emit: (event: RunEvent) => void
  /** Modules of the worker processes and of the compute threads. */
  readonly workerModule: string
  readonly computeModule: string
  /** Compute threads of the control process: preparation, realignment, evaluation. */
  readonly threads: number
}

/** The run was stopped before its end; `--resume` goes on from here. */
export class RunStoppedError extends Error {
  override readonly name = 'RunStoppedError'
}

export class RunFailedError extends Error {
  override readonly name = 'RunFailedError'
}

export interface SpeechRun {
  readonly done: Promise<Report>
  /** Checkpoints, stops every process, rejects `done` with `RunStoppedError`. */
  stop(): Promise<void>
}

/** Sums over all training parts of this life of the run. */
export interface Tally {
  frames: number
  seconds: number
  computeMs: number
  trainerMs: number
  rejected: number
  nonFinite: number
}

/** Everything the parts of a run share once it is under way. */
interface UnderWay {
  readonly world: RunWorld
  readonly task: SpeechTask
  readonly corpus: PreparedCorpus
  readonly cluster: Cluster
  readonly evaluator: Evaluator
  readonly threads: readonly ComputeThread[]
  readonly halted: Promise<never>
  readonly tally: Tally
  readonly framesPlanned: number
  record: RunRecord
  onStep: (step: FinishedStep) => void
}

/** What has to end with the run, as far as it has come. */
interface Started {
  threads?: readonly ComputeThread[]
  system?: System
  pool?: Pool
  underWay?: UnderWay
}

export function startSpeechRun(world: RunWorld): SpeechRun {
  const halt = Promise.withResolvers<never>()
  halt.promise.catch(() => {})
  const started: Started = {}
  let isOver = false
  const done = runSpeech(world, halt, started).finally(async () => {
    isOver = true
    await started.underWay?.cluster.stop()
    await started.pool?.stop()
    started.system?.stop()
    for (const thread of started.threads ?? []) thread.close()
  })
  done.catch(() => {})
  return {
    done,
    async stop() {
      const { underWay } = started
      if (underWay && !isOver) {
        underWay.cluster.pause()
        await underWay.cluster.checkpoint()
        keep(underWay, {})
      }
      const next = underWay
        ? `go on with --resume ${world.options.out}`
        : 'nothing was learnt yet: start again'
      halt.reject(new RunStoppedError(`stopped; ${next}`))
      await done.catch(() => {})
    },
  }
}

async function runSpeech(
  world: RunWorld,
  halt: PromiseWithResolvers<never>,
  started: Started,
): Promise<Report> {
  const { environment, options, emit } = world
  const { disk, clock } = environment
  const begun = clock.now()
  disk.makeFolder(`${options.out}/models`)
  const record = openRecord(world)
  const threads = Array.from({ length: world.threads }, () =>
    environment.compute.start(world.computeModule),
  )
  started.threads = threads
  const corpus = await Promise.race([
    prepareCorpus({
      disk,
      threads,
      emit,
      folder: `${options.from ?? options.out}/corpus`,
      corpora: {
        data: options.data,
        seed: options.seed,
        snr: options.snr,
        strings: options.strings,
        ...(options.test !== undefined && { test: options.test }),
      },
    }),
    halt.promise,
  ])
  record.skipped = corpus.skipped

  const system = createSystem({ environment, member: 'control', token: tokenFor(environment) })
  started.system = system
  await system.listen({ port: options.port })
  const pool = createPool({ system, module: world.workerModule })
  started.pool = pool

  const shape: NetworkShape = { ...corpus.shape, hidden: options.hidden }
  const network = acousticNetwork({ ...shape, nonlinearity: 'relu' })
  const layout = layoutOf(network.parameters)
  const task: SpeechTask = {
    folder: corpus.folder,
    seed: options.seed,
    network: shape,
    threads: 1,
  }
  const plan = planSpeech(options, corpus.training)
  let onStep: (step: FinishedStep) => void = () => {}
  const cluster = startCluster({
    system,
    pool,
    clock,
    folder: `${options.out}/shards`,
    ranges: shardRanges(layout, options.shards),
    trainerKind: 'sequence-trainer',
    latticeWorkers: options.latticeWorkers,
    trainer: { codec: options.codec, task, lanes: LANES_MAX },
    emit,
    onFinished: (step) => onStep(step),
    onGaveUp: (cause) => halt.reject(new RunFailedError(cause)),
  })
  const underWay: UnderWay = {
    world,
    task,
    corpus,
    cluster,
    threads,
    evaluator: await speechEvaluator({ threads, task, corpus }),
    halted: halt.promise,
    tally: { frames: 0, seconds: 0, computeMs: 0, trainerMs: 0, rejected: 0, nonFinite: 0 },
    framesPlanned: plan.reduce((sum, part) => sum + epochsOf(part) * corpus.training.frames, 0),
    record,
    get onStep() {
      return onStep
    },
    set onStep(handler) {
      onStep = handler
    },
  }
  started.underWay = underWay
  // The world did not refuse: from here on a run that dies can be resumed.
  keep(underWay, {})
  for (const part of plan) {
    if (underWay.record.finished.includes(part.name)) continue
    const initial = () => initialise(layout, randomFor(options.seed, 'initial'))
    await trainPart(underWay, part, initial)
  }
  keep(underWay, { seconds: underWay.record.seconds + (clock.now() - begun) / 1000 })
  return await concludeRun({
    world,
    task,
    corpus,
    evaluator: underWay.evaluator,
    record: underWay.record,
    tally: underWay.tally,
    statuses: await cluster.statuses(),
    restarts: cluster.restarts(),
    parameters: layout.count,
  })
}

async function trainPart(
  run: UnderWay,
  part: TrainingPart,
  initial: () => Float32Array,
): Promise<void> {
  const { world, cluster, halted, corpus } = run
  const { clock } = world.environment
  const begun = clock.now()
  const { steps } = part.start
  world.emit({ type: 'phase', phase: part.shown, total: steps, unit: 'updates' })

  const finished = Promise.withResolvers<void>()
  const judging: Promise<void>[] = []
  let done = 0
  const progress = progressMeter(run, part, begun)
  run.onStep = (step) => {
    done += 1
    progress(done, step)
    const epoch = Math.floor(done / part.stepsPerEpoch)
    const isEpochEnd = done % part.stepsPerEpoch === 0 && done < steps
    if (isEpochEnd && part.yields && part.yields !== 'crossEntropy') {
      judging.push(judgeCandidate(run, part, `${part.name}-${epoch}`))
    }
    if (done === steps) finished.resolve()
  }
  const from = part.from === 'initial' ? initial() : part.from && loadModel(run, part.from)
  const applied = await cluster.begin({
    start: part.start,
    kind: part.kind,
    trainers: part.trainers,
    lanes: part.lanes,
    configuration: part.configuration,
    ...(from && { parameters: from }),
  })
  done += appliedCount(applied)
  if (done >= steps) finished.resolve()
  await Promise.race([finished.promise, halted])
  const seconds = (clock.now() - begun) / 1000
  run.tally.seconds += seconds
  run.tally.trainerMs += part.trainers * seconds * 1000
  world.emit({ type: 'phase-ended', phase: part.shown, seconds })

  await checkNothingLost(run, part)
  if (part.yields) judging.push(judgeCandidate(run, part, part.name))
  await Promise.race([Promise.all(judging), halted])
  if (part.realign) {
    const parameters = await cluster.pull('average')
    const { disk } = world.environment
    const request = {
      parameters,
      from: part.configuration.alignments,
      into: part.realign,
      scale: REALIGN_SCALE,
    }
    const { threads } = run
    await Promise.race([realign({ disk, threads, emit: world.emit }, corpus, request), halted])
  }
  keep(run, { finished: [...run.record.finished, part.name] })
}

/** Every step that was acknowledged is in every shard, exactly once: what exit status 0 stands for. */
async function checkNothingLost(
  { cluster }: UnderWay,
  { name, start }: TrainingPart,
): Promise<void> {
  for (const [shard, status] of (await cluster.statuses()).entries()) {
    const isWhole = status.phase === start.phase && status.appliedBelow === start.steps
    if (!isWhole || status.appliedAbove.length > 0) {
      const has = `${status.appliedBelow} of ${start.steps} updates`
      throw new RunFailedError(`${name}: shard-${shard} lost acknowledged updates: it has ${has}`)
    }
  }
}

/** Keeps the averaged parameters of this moment and judges them on development strings. */
async function judgeCandidate(run: UnderWay, part: TrainingPart, name: string): Promise<void> {
  const { cluster, evaluator, world } = run
  const { yields: model, configuration } = part
  if (!model) return
  const parameters = await cluster.pull('average')
  world.environment.disk.write(modelPath(world.options.out, name), bytesOf(parameters))
  const { alignments } = configuration
  const { setting, errorRate } = await evaluator.tune(parameters, alignments)
  world.emit({ type: 'evaluated', model: name, set: 'development', errorRate })
  const development = { percent: errorRate.percent, ...setting }
  const candidate: Candidate = { name, model, alignments, development }
  keep(run, { candidates: [...run.record.candidates, candidate] })
}

function loadModel(run: UnderWay, model: Candidate['model']): Float32Array {
  const candidate = run.record.candidates.find((kept) => kept.model === model)
  assert(candidate !== undefined, `the plan trains ${model} before it is needed`)
  const { disk } = run.world.environment
  return alignedFloat32(disk.read(modelPath(run.world.options.out, candidate.name)))
}

function progressMeter(
  run: UnderWay,
  part: TrainingPart,
  begun: number,
): (done: number, step: FinishedStep) => void {
  const { tally, world, cluster, framesPlanned } = run
  const { clock } = world.environment
  const { steps } = part.start
  let shownAt = begun
  let frames = 0
  let loss = Number.NaN
  let doneBefore: number | undefined
  return (done, step) => {
    const before = tally.frames / framesPlanned
    tally.frames += step.frames
    tally.computeMs += step.computeMs
    tally.rejected += step.rejected
    tally.nonFinite += step.nonFinite
    for (const fault of dueFaults(world.options.chaos, before, tally.frames / framesPlanned)) {
      cluster.strike(fault)
    }
    frames += step.frames
    loss = Number.isNaN(loss) ? step.loss : 0.95 * loss + 0.05 * step.loss
    doneBefore ??= done - 1
    const now = clock.now()
    if (now - shownAt < PROGRESS_MS && done < steps) return
    shownAt = now
    const seconds = (now - begun) / 1000
    world.emit({
      type: 'progress',
      phase: part.shown,
      done,
      total: steps,
      framesPerSecond: frames / seconds,
      loss,
      remainingSeconds: (seconds * (steps - done)) / (done - doneBefore),
    })
  }
}

const PROGRESS_MS = 200

function epochsOf({ start, stepsPerEpoch }: TrainingPart): number {
  return start.steps / stepsPerEpoch
}

/** Lanes a trainer has; a phase may use fewer. */
const LANES_MAX = 2

function openRecord({ environment, options }: RunWorld): {
  -readonly [K in keyof RunRecord]: RunRecord[K]
} {
  const { disk } = environment
  disk.makeFolder(options.out)
  const known = loadRecord(disk, options.out)
  if (known && !options.resume) {
    throw new RunFailedError(
      `${options.out} holds a run: give --resume ${options.out} or another --out`,
    )
  }
  if (!known && options.resume) throw new RunFailedError(`${options.out} holds no run to resume`)
  if (known) return known
  const empty = { options, seconds: 0, finished: [], candidates: [], skipped: [] }
  return options.from === undefined ? empty : borrowRecord(disk, options.from, empty)
}

function keep(run: UnderWay, changes: Partial<RunRecord>): void {
  run.record = { ...run.record, ...changes }
  saveRecord(run.world.environment.disk, run.world.options.out, run.record)
}

function tokenFor({ random }: Environment): string {
  return Array.from({ length: 4 }, () => random.below(2 ** 32).toString(16)).join('')
}

/** What a new run takes over from another: all that came before sequence training. */
function borrowRecord(disk: Disk, from: string, empty: RunRecord): RunRecord {
  const lender = loadRecord(disk, from)
  if (!lender) throw new RunFailedError(`${from} holds no run to start from`)
  const candidates = lender.candidates.filter(({ model }) => model !== 'sequence')
  for (const { name } of candidates) {
    disk.write(modelPath(empty.options.out, name), disk.read(modelPath(from, name)))
  }
  const finished = lender.finished.filter((part) => part !== 'sequence')
  return { ...empty, candidates, finished, skipped: lender.skipped }
}
