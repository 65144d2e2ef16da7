// One part of a run's plan: its phase begun, its steps counted, its epochs judged, nothing lost, and the
// training set realigned where the plan says so.
import { assert } from '../../protocol/assert.ts'
import { alignedFloat32, bytesOf } from '../../protocol/tensor.ts'
import { appliedCount } from '../applied-set.ts'
import { dueFaults } from '../chaos-plan.ts'
import type { FinishedStep } from '../example-source.ts'
import { REALIGN_SCALE, type TrainingPart } from './plan.ts'
import { realign } from './prepare.ts'
import { type Candidate, modelPath } from './run-record.ts'
import { keep, RunFailedError, timed, type UnderWay } from './world.ts'

export async function trainPart(
  run: UnderWay,
  part: TrainingPart,
  initial: () => Float32Array,
): Promise<void> {
  const { world, cluster, halt } = run
  const { clock } = world.environment
  const begun = clock.now()
  const { steps } = part.start
  world.emit({ type: 'phase', phase: part.shown, total: steps, unit: 'updates' })

  const finished = Promise.withResolvers<void>()
  const judging: Promise<void>[] = []
  const judge = (name: string): void => {
    const judged = judgeCandidate(run, part, name)
    // Heard at once: a judge that fails ends the run now, not at the end of the part.
    judged.catch(halt.because)
    judging.push(judged)
  }
  let done = 0
  const passed = (before: number): void => {
    const epoch = Math.floor(done / part.stepsPerEpoch)
    const isNew = epoch > Math.floor(before / part.stepsPerEpoch) && done < steps
    if (isNew && part.yields && part.yields !== 'crossEntropy') judge(`${part.name}-${epoch}`)
    if (done >= steps) finished.resolve()
  }
  const progress = progressMeter(run, part, begun)
  run.onStep = (step) => {
    done += 1
    progress(done, step)
    passed(done - 1)
  }
  if (!part.from) await checkShardsGoOn(run, part)
  const from = part.from === 'initial' ? initial() : part.from && loadModel(run, part.from)
  const { kind, trainers, lanes, configuration, start } = part
  const phase = { start, kind, trainers, lanes, configuration, ...(from && { parameters: from }) }
  const resumed = appliedCount(await halt.until(cluster.begin(phase)))
  done += resumed
  // An epoch that ended just before the run was stopped was not judged yet.
  passed(hasJudged(run, part, resumed) ? done : done - resumed)
  await halt.until(finished.promise)
  const seconds = (clock.now() - begun) / 1000
  const { tally, acknowledgedSteps } = run.record
  const trainerMs = tally.trainerMs + trainers * seconds * 1000
  run.record = { ...run.record, tally: { ...tally, seconds: tally.seconds + seconds, trainerMs } }
  world.emit({ type: 'phase-ended', phase: part.shown, seconds })

  await checkNothingLost(run, part)
  if (part.yields) judge(part.name)
  await halt.until(Promise.all(judging))
  await realignWhereDue(run, part)
  keep(run, {
    finished: [...run.record.finished, part.name],
    acknowledgedSteps: acknowledgedSteps + done,
  })
}

function hasJudged({ record }: UnderWay, part: TrainingPart, done: number): boolean {
  const name = `${part.name}-${Math.floor(done / part.stepsPerEpoch)}`
  return record.candidates.some((candidate) => candidate.name === name)
}

async function realignWhereDue(run: UnderWay, part: TrainingPart): Promise<void> {
  if (!part.realign) return
  const { world, cluster, corpus, threads, halt } = run
  const parameters = await halt.until(cluster.pull('average'))
  const { alignments: from } = part.configuration
  const { disk } = world.environment
  const request = { parameters, from, into: part.realign, scale: REALIGN_SCALE }
  const realigning = realign({ disk, threads, emit: world.emit }, corpus, request)
  await halt.until(timed(world, 'align', realigning))
}

/** A part that begins with the parameters that the shards have needs shards that have some. */
async function checkShardsGoOn({ cluster, halt, world }: UnderWay, { name }: TrainingPart) {
  const statuses = await halt.until(cluster.statuses())
  const empty = statuses.findIndex(({ phase }) => phase === 0)
  if (empty < 0) return
  const folder = `${world.options.out}/shards/shard-${empty}`
  throw new RunFailedError(`${name}: ${folder} is gone or empty: start again with another --out`)
}

/** Every step that was acknowledged is in every shard, exactly once: what exit status 0 stands for. */
async function checkNothingLost(
  { cluster, halt }: UnderWay,
  { name, start }: TrainingPart,
): Promise<void> {
  for (const [shard, status] of (await halt.until(cluster.statuses())).entries()) {
    const isWhole = status.phase === start.phase && status.appliedBelow === start.steps
    if (!isWhole || status.appliedAbove.length > 0) {
      const has = `${status.appliedBelow} of ${start.steps} updates`
      throw new RunFailedError(`${name}: shard-${shard} lost acknowledged updates: it has ${has}`)
    }
  }
}

/** Keeps the averaged parameters of this moment and judges them on development strings. */
async function judgeCandidate(run: UnderWay, part: TrainingPart, name: string): Promise<void> {
  const { cluster, evaluator, world, halt } = run
  const { yields: model, configuration } = part
  if (!model) return
  const parameters = await halt.until(cluster.pull('average'))
  world.environment.disk.write(modelPath(world.options.out, name), bytesOf(parameters))
  const { alignments } = configuration
  const { setting, errorRate } = await halt.until(evaluator.tune(parameters, alignments))
  world.emit({ type: 'evaluated', model: name, set: 'development', errorRate })
  const development = { percent: errorRate.percent, ...setting }
  const candidate: Candidate = { name, model, alignments, development }
  const others = run.record.candidates.filter((other) => other.name !== name)
  keep(run, { candidates: [...others, candidate] })
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
  const { world, cluster, framesPlanned } = run
  const { clock } = world.environment
  const { steps } = part.start
  let shownAt = begun
  let frames = 0
  let loss = Number.NaN
  let doneBefore: number | undefined
  return (done, step) => {
    const before = run.record.tally.frames / framesPlanned
    countStep(run, step)
    const after = run.record.tally.frames / framesPlanned
    for (const fault of dueFaults(world.options.chaos, before, after)) cluster.strike(fault)
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

function countStep(run: UnderWay, step: FinishedStep): void {
  const { tally } = run.record
  const sums = {
    frames: tally.frames + step.frames,
    computeMs: tally.computeMs + step.computeMs,
    rejected: tally.rejected + step.rejected,
    nonFinite: tally.nonFinite + step.nonFinite,
  }
  run.record = { ...run.record, tally: { ...tally, ...sums } }
}
