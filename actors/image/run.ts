// An image run from data to report: prepare, train with evaluations on the way, evaluate once more, write
// the model. Runs in the control process.
import type { ImageNetwork } from '../../models/networks/image-network.ts'
import { auxiliaryWeightOf, imageNetwork } from '../../models/networks/networks.ts'
import { initialise } from '../../models/parameters.ts'
import { assert } from '../../protocol/assert.ts'
import { randomFor } from '../../protocol/random.ts'
import type { ComputeThread } from '../../runtime/environment.ts'
import type { ImageReport } from '../report.ts'
import { type Life, openLife, type RunHandle, startRun } from '../run/life.ts'
import { keepFinished, type TrainingPart, trainPart } from '../run/part.ts'
import { startProcesses } from '../run/processes.ts'
import { emptyRecord, openRecord } from '../run/record.ts'
import { keep, timed, type UnderWay } from '../run/world.ts'
import { type ImageEvaluator, imageEvaluator } from './evaluator.ts'
import { imageLooker } from './insight.ts'
import type { CompleteImageOptions } from './options.ts'
import { planImages } from './plan.ts'
import { costsOf, pipelineOf } from './pipeline/partition.ts'
import { stagesOf } from '../pipeline/processes.ts'
import { pipelineLooker } from '../pipeline/timeline.ts'
import { type PreparedImages, prepareImages } from './prepare.ts'
import { concludeImages } from './report.ts'
import { type ImageTask, imageLayout, sectionsOf } from './task.ts'
import type { ImageRecord, ImageWorld } from './world.ts'

export function startImageRun(world: ImageWorld): RunHandle<ImageReport> {
  return startRun(world, (life) => runImages(world, life))
}

async function runImages(world: ImageWorld, life: Life): Promise<ImageReport> {
  const { environment, options, emit } = world
  const { disk, clock } = environment
  const { halt } = life
  const begun = clock.now()
  const opened = await openLife(world, life, () => openImageRecord(world))
  const { record, threads } = opened
  const { data, test, size, seed } = options
  const preparing = prepareImages({
    disk,
    emit,
    folder: `${options.out}/images`,
    data,
    size,
    seed,
    ...(test !== undefined && { test }),
  })
  const images = await halt.until(timed(world, 'prepare', preparing))
  const task = taskOf(options, images)
  const network = imageNetwork(task.network)
  const part = planImages(options, images.sizes.train)
  const looker = imageLooker(world, task, life)
  const judging = { threads, task, images: images.sizes.test, looker }
  const evaluator = await halt.until(imageEvaluator(judging))
  const pipeline =
    options.subnetworks > 1
      ? await halt.until(cutReplicas(world, { network, task, threads }))
      : undefined
  const cluster = startProcesses(world, life, {
    opened,
    layout: imageLayout(network),
    sections: sectionsOf(network),
    trainerKind: pipeline ? 'image-subnetwork' : 'image-trainer',
    ...(pipeline && { pipeline }),
    task,
    onFinished: (step) => run.onStep(step),
  })
  const run: UnderWay<ImageRecord> = {
    world,
    cluster,
    threads,
    halt,
    examplesPlanned: part.start.steps * options.batch,
    begun,
    secondsBefore: record.seconds,
    record: { ...record, skipped: images.skipped },
    onStep: () => {},
  }
  life.underWay = run
  looker.begun(run)
  const stages = stagesOf(options, part.trainers)
  const pipelined = pipeline && pipelineLooker(opened.system, stages, life)
  life.insight = { image: looker.insight, ...(pipelined && { pipeline: pipelined.insight }) }
  // The world did not refuse: from here on a run that dies can be resumed.
  keep(run)
  if (!run.record.finished.includes(part.name)) {
    await trainImages(run, { part, network, evaluator })
    await pipelined?.ending()
  }
  const statuses = await halt.until(cluster.statuses())
  return await halt.until(concludeImages(run, { statuses, network, images, evaluator }))
}

async function cutReplicas(
  { environment, options, emit }: ImageWorld,
  run: {
    readonly network: ImageNetwork
    readonly task: ImageTask
    readonly threads: readonly ComputeThread[]
  },
): Promise<ReturnType<typeof pipelineOf>> {
  const [thread] = run.threads
  assert(thread !== undefined, 'the control process has a compute thread')
  const path = `${options.out}/images/costs.json`
  const costs = await costsOf(run.task, { disk: environment.disk, thread, path })
  const pipeline = pipelineOf(options, run.network, costs)
  emit({ type: 'note', message: pipeline.shown })
  return pipeline
}

/** On the way: an evaluation takes time from the trainers. */
const EVALUATIONS_MAX = 10

async function trainImages(
  run: UnderWay<ImageRecord>,
  {
    part,
    network,
    evaluator,
  }: {
    readonly part: TrainingPart
    readonly network: ImageNetwork
    readonly evaluator: ImageEvaluator
  },
): Promise<void> {
  const { cluster, halt, world } = run
  const { epochs, seed } = world.options
  const every = Math.ceil(epochs / EVALUATIONS_MAX)
  let evaluating = Promise.resolve()
  const done = await trainPart(run, part, {
    parameters: initialise(imageLayout(network), randomFor(seed, 'initial')),
    onEpoch(epoch) {
      if (epoch % every > 0) return
      // One after the other: a slow one must not meet the next.
      evaluating = evaluating.then(async () => {
        const name = `epoch ${epoch}`
        const accuracy = await evaluator.evaluate(await cluster.pull('average'), name)
        world.emit({ type: 'accuracy', model: name, set: 'test', accuracy })
      })
      evaluating.catch(halt.because)
    },
  })
  await halt.until(evaluating)
  keepFinished(run, part, done)
}

function openImageRecord({ environment, options }: ImageWorld): ImageRecord {
  const begun = emptyRecord(options)
  return openRecord(environment.disk, begun, { folders: ['images'], free: ['threads'] })
}

function taskOf(options: CompleteImageOptions, images: PreparedImages): ImageTask {
  const { network, size, dropout, auxiliary, seed, batch, microBatches, threads } = options
  const { pad, flip, colour, labelSmoothing } = options
  const given = {
    network,
    size,
    classes: images.classes.length,
    ...(dropout !== undefined && { dropout }),
    ...(auxiliary !== undefined && { auxiliary }),
  }
  return {
    train: images.train,
    test: images.test,
    seed,
    network: imageNetwork(given).options,
    batch,
    microBatches,
    labelSmoothing,
    auxiliaryWeight: auxiliaryWeightOf(network),
    augmentation: { pad, flip, colour },
    threads,
  }
}
