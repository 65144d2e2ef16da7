// A speech run from data to report: prepare, then the parts of the plan, with models judged on
// development strings as they appear, then the test set once. Runs in the control process.
import { acousticNetwork } from '../../models/networks/acoustic.ts'
import { initialise, layoutOf } from '../../models/parameters.ts'
import { randomFor } from '../../protocol/random.ts'
import type { FinishedStep } from '../example-source.ts'
import type { SpeechReport } from '../report.ts'
import { type Life, openLife, type RunHandle, startRun } from '../run/life.ts'
import { startProcesses } from '../run/processes.ts'
import { keep, timed } from '../run/world.ts'
import { speechEvaluator } from './evaluator.ts'
import { speechLooker } from './insight.ts'
import { trainSpeechPart } from './part.ts'
import { planSpeech, type SpeechPart } from './plan.ts'
import { prepareCorpus } from './prepare.ts'
import { concludeRun } from './report.ts'
import { openRecord } from './run-record.ts'
import type { NetworkShape, SpeechTask } from './task.ts'
import type { SpeechUnderWay, SpeechWorld } from './world.ts'

export function startSpeechRun(world: SpeechWorld): RunHandle<SpeechReport> {
  return startRun(world, (life) => runSpeech(world, life))
}

async function runSpeech(world: SpeechWorld, life: Life): Promise<SpeechReport> {
  const { environment, options, emit } = world
  const { disk, clock } = environment
  const { halt } = life
  const begun = clock.now()
  const opened = await openLife(world, life, () => openRecord(disk, options))
  const { record, threads } = opened
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
  const cluster = startProcesses(world, life, {
    opened,
    layout,
    trainerKind: 'sequence-trainer',
    latticeWorkers: options.latticeWorkers,
    task,
    onFinished: (step) => run.onStep(step),
  })
  const begins = {
    world,
    task,
    corpus,
    cluster,
    threads,
    evaluator,
    halt,
    examplesPlanned: plan.reduce((sum, part) => sum + epochsOf(part) * corpus.training.frames, 0),
    begun,
    secondsBefore: record.seconds,
    record: { ...record, skipped: corpus.skipped },
    onStep: (_: FinishedStep) => {},
  }
  const looker = speechLooker(begins, life)
  const run: SpeechUnderWay = Object.assign(begins, { looker })
  life.underWay = run
  life.insight = { speech: looker.insight }
  // The world did not refuse: from here on a run that dies can be resumed.
  keep(run)
  const initial = () => initialise(layout, randomFor(seed, 'initial'))
  for (const part of plan) {
    if (!run.record.finished.includes(part.name)) await trainSpeechPart(run, part, initial)
  }
  const statuses = await halt.until(cluster.statuses())
  return await halt.until(concludeRun(run, { statuses, parameters: layout.count }))
}

function epochsOf({ start, stepsPerEpoch }: SpeechPart): number {
  return start.steps / stepsPerEpoch
}
