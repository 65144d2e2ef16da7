// The end of an image run: the averaged weights judged on the test set, written as files that other tools
// open, and everything the run counted.
import { writeCheckpoint } from '../../models/checkpoint.ts'
import type { ImageNetwork } from '../../models/networks/image-network.ts'
import { servingGraph } from '../../models/networks/networks.ts'
import { normOf } from '../../models/optimizers/index.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import type { ShardStatus } from '../../protocol/training.ts'
import type { ImageReport } from '../report.ts'
import { describeStaleness, sumUpdates } from '../run/report.ts'
import { keep, RunFailedError, timed, type UnderWay } from '../run/world.ts'
import { MODEL_CARD } from '../model-card.ts'
import type { ImageCard } from './card.ts'
import type { ImageEvaluator } from './evaluator.ts'
import type { PreparedImages } from './prepare.ts'
import type { ImageRecord } from './world.ts'
import { imageLayout } from './task.ts'

export async function concludeImages(
  run: UnderWay<ImageRecord>,
  end: {
    readonly statuses: readonly ShardStatus[]
    readonly network: ImageNetwork
    readonly images: PreparedImages
    readonly evaluator: ImageEvaluator
  },
): Promise<ImageReport> {
  const { world, cluster, halt } = run
  const { options, emit } = world
  const { statuses, network, images, evaluator } = end
  const parameters = await halt.until(cluster.pull('average'))
  emit({ type: 'phase', phase: 'evaluate', total: images.sizes.test, unit: 'images' })
  const accuracy = await timed(world, 'evaluate', evaluator.evaluate(parameters, options.network))
  emit({ type: 'accuracy', model: options.network, set: 'test', accuracy })
  // Of scores that are no numbers not even the fifth is right.
  const isNothing = accuracy.top5 === 0 && run.record.tally.nonFinite > 0
  if (isNothing || !Number.isFinite(normOf(parameters))) {
    const advice = 'start again with a lower --learning-rate'
    throw new RunFailedError(`training diverged at a rate of ${options.learningRate}: ${advice}`)
  }
  keep(run)
  const { tally, seconds, restarts, acknowledgedSteps, skipped } = run.record
  return {
    task: 'image',
    network: options.network,
    size: options.size,
    classes: images.classes,
    images: images.sizes,
    subnetworks: options.subnetworks,
    policy: options.policy,
    seed: options.seed,
    workers: options.workers,
    shards: options.shards,
    parameters: imageLayout(network).count,
    seconds,
    accuracy,
    updates: sumUpdates(statuses, acknowledgedSteps),
    staleness: describeStaleness(statuses),
    restarts,
    throughput: { imagesPerSecond: tally.examples / Math.max(1e-9, tally.seconds) },
    computeShare: tally.computeMs / Math.max(1e-9, tally.trainerMs * options.subnetworks),
    skipped,
    nonFinite: tally.nonFinite,
    model: writeModel(run, { parameters, network, images }),
  }
}

function writeModel(
  { world }: UnderWay<ImageRecord>,
  model: {
    readonly parameters: Float32Array
    readonly network: ImageNetwork
    readonly images: PreparedImages
  },
): string {
  const { disk } = world.environment
  const { out } = world.options
  const { network, images, parameters: values } = model
  const card: ImageCard = {
    task: 'image',
    network: network.options.network,
    size: network.options.size,
    classes: images.classes,
    mean: images.mean,
    deviation: images.deviation,
  }
  const metadata = { [MODEL_CARD]: JSON.stringify(card) }
  const layout = imageLayout(network)
  const path = `${out}/model.onnx`
  disk.write(path, encodeOnnx(servingGraph(network, { layout, values }, metadata)))
  disk.write(`${out}/model.safetensors`, writeCheckpoint(network, values, metadata))
  return path
}
