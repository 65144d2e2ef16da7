// One part of a run's plan: its phase begun, its steps counted, its epochs judged, nothing lost.
import type { PhaseStart } from '../../protocol/training.ts'
import { appliedCount } from '../applied-set.ts'
import { dueFaults } from '../chaos-plan.ts'
import type { PhasePlan } from '../cluster.ts'
import type { PhaseName } from '../events.ts'
import type { FinishedStep } from '../example-source.ts'
import type { RunRecord } from './record.ts'
import { keep, RunFailedError, type UnderWay } from './world.ts'

export interface TrainingPart extends Omit<PhasePlan, 'parameters'> {
  readonly name: string
  /** What people see it as, and what its examples are. */
  readonly shown: PhaseName
  readonly examples: 'frames' | 'images' | 'rows'
  readonly stepsPerEpoch: number
}

export interface PartHooks {
  /** The model it starts from; absent: the parameters the shards have. */
  readonly parameters?: Float32Array
  /** An epoch is over that is not the last; it has not been judged before. */
  readonly onEpoch?: (epoch: number) => void
  /** Whether that epoch was judged in an earlier life of the run. */
  readonly isJudged?: (epoch: number) => boolean
}

/** Answers how many steps are done: all of them, whichever life of the run did them. */
export async function trainPart<Record extends RunRecord>(
  run: UnderWay<Record>,
  part: TrainingPart,
  { parameters, onEpoch = () => {}, isJudged = () => true }: PartHooks,
): Promise<number> {
  const { world, cluster, halt } = run
  const { clock } = world.environment
  const begun = clock.now()
  const { steps } = part.start
  run.part = part
  world.emit({ type: 'phase', phase: part.shown, total: steps, unit: 'updates' })

  const finished = Promise.withResolvers<void>()
  let done = 0
  const passed = (before: number): void => {
    const epoch = Math.floor(done / part.stepsPerEpoch)
    if (epoch > Math.floor(before / part.stepsPerEpoch) && done < steps) onEpoch(epoch)
    if (done >= steps) finished.resolve()
  }
  const progress = progressMeter(run, part, begun)
  const trainerTime = teamTime(run, begun)
  run.onStep = (step) => {
    done += 1
    trainerTime()
    progress(done, step)
    passed(done - 1)
  }
  if (!parameters) await checkShardsGoOn(run, part)
  const { kind, trainers, lanes, configuration, start } = part
  const phase = { start, kind, trainers, lanes, configuration, ...(parameters && { parameters }) }
  const resumed = appliedCount(await halt.until(cluster.begin(phase)))
  done += resumed
  // An epoch that ended just before the run was stopped was not judged yet.
  passed(isJudged(Math.floor(resumed / part.stepsPerEpoch)) ? done : done - resumed)
  await halt.until(finished.promise)
  run.part = undefined
  const seconds = (clock.now() - begun) / 1000
  const { tally } = run.record
  const trainerMs = tally.trainerMs + trainerTime()
  run.record = { ...run.record, tally: { ...tally, seconds: tally.seconds + seconds, trainerMs } }
  world.emit({ type: 'phase-ended', phase: part.shown, seconds })
  await checkNothingLost(run, part)
  return done
}

export function keepFinished<Record extends RunRecord>(
  run: UnderWay<Record>,
  part: TrainingPart,
  done: number,
): void {
  const { finished, acknowledgedSteps } = run.record
  const changes: Partial<RunRecord> = {
    finished: [...finished, part.name],
    acknowledgedSteps: acknowledgedSteps + done,
  }
  keep(run, changes as Partial<Record>)
}

/** A part that begins with the parameters that the shards have needs shards that have some. */
async function checkShardsGoOn<Record extends RunRecord>(
  { cluster, halt, world }: UnderWay<Record>,
  { name }: TrainingPart,
): Promise<void> {
  const statuses = await halt.until(cluster.statuses())
  const empty = statuses.findIndex(({ phase }) => phase === 0)
  if (empty < 0) return
  const folder = `${world.options.out}/shards/shard-${empty}`
  throw new RunFailedError(`${name}: ${folder} is gone or empty: start again with another --out`)
}

/** Every step that was acknowledged is in every shard, exactly once: what exit status 0 stands for. */
async function checkNothingLost<Record extends RunRecord>(
  { cluster, halt }: UnderWay<Record>,
  { name, start }: { readonly name: string; readonly start: Pick<PhaseStart, 'phase' | 'steps'> },
): Promise<void> {
  for (const [shard, status] of (await halt.until(cluster.statuses())).entries()) {
    const isWhole = status.phase === start.phase && status.appliedBelow === start.steps
    if (!isWhole || status.appliedAbove.length > 0) {
      const has = `${status.appliedBelow} of ${start.steps} updates`
      throw new RunFailedError(`${name}: shard-${shard} lost acknowledged updates: it has ${has}`)
    }
  }
}

/** Milliseconds of all trainers so far: the team may change. */
function teamTime<Record extends RunRecord>(
  { cluster, world }: UnderWay<Record>,
  begun: number,
): () => number {
  const { clock } = world.environment
  let countedAt = begun
  let sum = 0
  return () => {
    const now = clock.now()
    sum += (now - countedAt) * cluster.team().length
    countedAt = now
    return sum
  }
}

/** What the first shard scales its updates by, asked now and then, beside the steps. */
function rateWatch<Record extends RunRecord>({
  cluster,
  world,
}: UnderWay<Record>): () => number | undefined {
  const { clock } = world.environment
  let rate: number | undefined
  let askedAt = Number.NEGATIVE_INFINITY
  let isAsking = false
  const ask = async (): Promise<void> => {
    const [first] = await cluster.statuses()
    rate = first?.learningRate
  }
  return () => {
    const now = clock.now()
    if (isAsking || now - askedAt < RATE_MS) return rate
    askedAt = now
    isAsking = true
    const asked = (): void => {
      isAsking = false
    }
    ask().then(asked, asked)
    return rate
  }
}

const RATE_MS = 1_000

function progressMeter<Record extends RunRecord>(
  run: UnderWay<Record>,
  part: TrainingPart,
  begun: number,
): (done: number, step: FinishedStep) => void {
  const { world, cluster, examplesPlanned } = run
  const { clock } = world.environment
  const { steps } = part.start
  let shownAt = begun
  let examples = 0
  let loss = Number.NaN
  let doneBefore: number | undefined
  const rateNow = rateWatch(run)
  return (done, step) => {
    const before = run.record.tally.examples / examplesPlanned
    countStep(run, step)
    const after = run.record.tally.examples / examplesPlanned
    for (const fault of dueFaults(world.options.chaos, before, after)) cluster.strike(fault)
    examples += step.examples
    loss = Number.isNaN(loss) ? step.loss : 0.95 * loss + 0.05 * step.loss
    doneBefore ??= done - 1
    const now = clock.now()
    const learningRate = rateNow()
    if (now - shownAt < PROGRESS_MS && done < steps) return
    shownAt = now
    const seconds = (now - begun) / 1000
    world.emit({
      type: 'progress',
      phase: part.shown,
      done,
      total: steps,
      examples: part.examples,
      examplesPerSecond: examples / seconds,
      loss,
      ...(learningRate !== undefined && { learningRate }),
      team: cluster.team(),
      remainingSeconds: (seconds * (steps - done)) / (done - doneBefore),
    })
  }
}

const PROGRESS_MS = 200

function countStep<Record extends RunRecord>(run: UnderWay<Record>, step: FinishedStep): void {
  const { tally } = run.record
  const sums = {
    examples: tally.examples + step.examples,
    computeMs: tally.computeMs + step.computeMs,
    rejected: tally.rejected + step.rejected,
    nonFinite: tally.nonFinite + step.nonFinite,
  }
  run.record = { ...run.record, tally: { ...tally, ...sums } }
}
