// The plan of an image run: one part, all epochs. A pure function of the options and the count of images.
import {
  type OptimizerSpec,
  optimizerSpec,
  parsePolicy,
  type Schedule,
} from '../../models/optimizers/index.ts'
import type { TrainingPart } from '../run/part.ts'
import type { CompleteImageOptions } from './options.ts'

export function planImages(options: CompleteImageOptions, images: number): TrainingPart {
  const { epochs, batch, policy: policyName, replicas, averageDecay, clipNorm } = options
  const stepsPerEpoch = Math.ceil(images / batch)
  const steps = stepsPerEpoch * epochs
  const policy = parsePolicy(policyName)
  const schedule = scheduleOf(options, { steps, stepsPerEpoch })
  const optimizer = optimizerSpec(options.optimizer, {
    schedule,
    weightDecay: options.weightDecay,
    ...(clipNorm !== undefined && { clipNorm }),
  })
  return {
    name: 'images',
    shown: 'images',
    examples: 'images',
    kind: 'images',
    trainers: replicas,
    lanes: lanesOf(options),
    stepsPerEpoch,
    start: {
      phase: 1,
      steps,
      policy,
      optimizer: withPaperConstants(optimizer, options.momentum),
      average: { name: 'ramped', decay: averageDecay },
    },
    configuration: {},
  }
}

/**
 * Minibatches that a replica may have under way. hard-sync: a second one would push into the next round.
 * SSP: it would go on while the first waits. Of subnetworks: what fills the pipeline, and one whose push is
 * on its way.
 */
export function lanesOf({ policy, subnetworks, microBatches }: CompleteImageOptions): number {
  const { name } = parsePolicy(policy)
  if (name === 'hard-sync' || name === 'ssp') return 1
  return Math.ceil(subnetworks / microBatches) + 1
}

/** RMSProp with epsilon 1.0 and momentum (Szegedy 2015, section 8); Nesterov's momentum. */
function withPaperConstants(optimizer: OptimizerSpec, momentum: number): OptimizerSpec {
  switch (optimizer.name) {
    case 'rmsprop':
      return { ...optimizer, decay: 0.9, epsilon: 1, momentum }
    case 'momentum':
      return { ...optimizer, momentum, nesterov: true }
    default:
      return optimizer
  }
}

/** Of the steps, where the rate first rises. */
const WARM_UP = 0.15

export function scheduleOf(
  { schedule: name, learningRate: rate }: Pick<CompleteImageOptions, 'schedule' | 'learningRate'>,
  { steps, stepsPerEpoch }: { readonly steps: number; readonly stepsPerEpoch: number },
): Schedule {
  switch (name) {
    case 'constant':
      return { name, rate }
    case 'exponential':
      // Every two epochs by 0.94 (Szegedy 2015, section 8).
      return { name, rate, decay: 0.94, everyUpdates: 2 * stepsPerEpoch, staircase: true }
    case 'linear':
    case 'cosine': {
      const warmupUpdates = Math.floor(WARM_UP * steps)
      return { name, rate, warmupUpdates, totalUpdates: steps, finalRate: 0 }
    }
  }
}
