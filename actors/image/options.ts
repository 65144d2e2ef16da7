// The options of an image run, as scripts and the command line give them. Everything but `data` has a
// default; `completeImageOptions` fills them in and refuses what is out of range, by name.
import type { OptimizerName } from '../../models/optimizers/index.ts'
import type { NetworkName } from '../../models/networks/image-network.ts'
import { imageNetwork, networkNames } from '../../models/networks/networks.ts'
import { type ChaosFault, parseChaos } from '../chaos-plan.ts'
import {
  checkBounds,
  checkRunOptions,
  OptionError,
  type RunOptions,
  runDefaults,
} from '../run/options.ts'

export interface ImageOptions extends Partial<Omit<RunOptions, 'chaos'>> {
  /** Faults by progress: 'kill:trainer@30%,kill:shard@60%'. */
  readonly chaos?: string
  /** A folder per class of JPEG, PNG or WebP. */
  readonly data: string
  /** Of the same form; absent: every tenth image of a class is held out. */
  readonly test?: string
  readonly network?: NetworkName
  /** Height and width that images are resized to. */
  readonly size?: number
  /** Copies of the network in training; absent: as many as `workers` hold. */
  readonly replicas?: number
  /** Parts that a replica is cut into, each an actor in a process of its own. */
  readonly subnetworks?: number
  /** Pieces that a minibatch is cut into on its way through the subnetworks. */
  readonly microBatches?: number
  readonly epochs?: number
  /** Images of a minibatch. */
  readonly batch?: number
  /** Highest learning rate; absent: the optimizer's usual one for images. */
  readonly learningRate?: number
  readonly schedule?: ScheduleName
  /** Of momentum and RMSProp, on the shards. */
  readonly momentum?: number
  /** L2 regularisation of weights, not of biases and gains. */
  readonly weightDecay?: number
  /** Largest gradient norm of one shard's range; absent: not clipped. */
  readonly clipNorm?: number
  readonly labelSmoothing?: number
  /** Decay, per update, of the averaged weights that are evaluated and kept. */
  readonly averageDecay?: number
  /** Reflected border that random crops are taken from, in pixels; absent: an eighth of the size. */
  readonly pad?: number
  /** Mirror every other image. */
  readonly flip?: boolean
  /** Strength of random brightness, contrast and saturation; 0: none. */
  readonly colour?: number
  /** Part of the features left out before the last layer; absent: as published. */
  readonly dropout?: number
  /** Heads on intermediate outputs while training; absent: as published. */
  readonly auxiliary?: boolean
  /** Cores that a trainer's compute thread may use. */
  readonly threads?: number
}

export const scheduleNames = ['constant', 'linear', 'cosine', 'exponential'] as const
export type ScheduleName = (typeof scheduleNames)[number]

type Given = 'test' | 'report' | 'clipNorm' | 'dropout' | 'auxiliary'
export type CompleteImageOptions = Required<Omit<ImageOptions, Given | 'chaos'>> &
  Pick<ImageOptions, Given> & { readonly chaos: readonly ChaosFault[] }

export const imageDefaults = {
  ...runDefaults,
  optimizer: 'momentum',
  network: 'googlenet-small',
  size: 32,
  subnetworks: 1,
  microBatches: 1,
  epochs: 20,
  batch: 64,
  schedule: 'linear',
  momentum: 0.9,
  weightDecay: 5e-4,
  labelSmoothing: 0.1,
  averageDecay: 0.998,
  flip: true,
  colour: 0,
  threads: 1,
} as const satisfies Partial<ImageOptions>

/** Per optimizer; that of RMSProp is Szegedy's (2015, section 8). */
export const usualRates: { readonly [Name in OptimizerName]: number } = {
  sgd: 0.2,
  momentum: 0.1,
  adagrad: 0.02,
  rmsprop: 0.045,
  adam: 0.002,
}

/** Without normalisation a network bears a tenth of it: 0.01 with momentum, as GoogLeNet's own solver had. */
function usualRate(optimizer: OptimizerName, network: NetworkName = imageDefaults.network): number {
  return (usualRates[optimizer] ?? Number.NaN) * (network === 'googlenet' ? 0.1 : 1)
}

const bounds = {
  size: [32, 512],
  replicas: [1, 64],
  subnetworks: [1, 64],
  microBatches: [1, 64],
  epochs: [1, 10_000],
  batch: [1, 4_096],
  pad: [0, 128],
  threads: [1, 64],
} as const

const fractionBounds = {
  learningRate: [1e-9, 100],
  momentum: [0, 0.999],
  weightDecay: [0, 1],
  labelSmoothing: [0, 0.9],
  averageDecay: [0, 0.999_999],
  colour: [0, 1],
} as const

export function completeImageOptions(options: ImageOptions): CompleteImageOptions {
  const seed = options.seed ?? imageDefaults.seed
  const optimizer = options.optimizer ?? imageDefaults.optimizer
  const subnetworks = options.subnetworks ?? imageDefaults.subnetworks
  const workers = options.workers ?? (options.replicas ?? 2) * subnetworks
  const size = options.size ?? imageDefaults.size
  const complete = {
    ...imageDefaults,
    learningRate: usualRate(optimizer, options.network),
    pad: Math.round(size / 8),
    out: `runs/image-${seed}`,
    ...options,
    replicas: options.replicas ?? Math.max(1, Math.floor(workers / subnetworks)),
    shards: options.shards ?? Math.max(imageDefaults.shards, subnetworks),
    workers,
    chaos: parseChaos(options.chaos ?? ''),
  }
  if (!networkNames.includes(complete.network)) {
    throw new OptionError(`network: '${complete.network}'; give one of ${networkNames.join(', ')}`)
  }
  if (!scheduleNames.includes(complete.schedule)) {
    throw new OptionError(`schedule: '${complete.schedule}'; give ${scheduleNames.join(', ')}`)
  }
  checkBounds(complete, bounds)
  const fractions = Object.keys(fractionBounds) as (keyof typeof fractionBounds)[]
  checkBounds(complete, fractionBounds, { fractions })
  checkProcesses(complete)
  const { replicas, shards } = complete
  const roles = subnetworks > 1 ? { subnetwork: replicas * subnetworks } : { trainer: workers }
  checkRunOptions(complete, { ...roles, shard: shards })
  return complete
}

function checkProcesses(options: CompleteImageOptions): void {
  // Statistics travel among gradients, and a block of both has one scale.
  if (options.codec === 'int8') {
    throw new OptionError('codec: int8 is too coarse beside running statistics; give float16')
  }
  const { workers, replicas, subnetworks, shards, batch, microBatches, policy } = options
  if (workers !== replicas * subnetworks) {
    const needed = `${replicas} replicas of ${subnetworks} subnetworks are ${replicas * subnetworks}`
    throw new OptionError(`workers: ${workers}; ${needed} processes: leave --workers out`)
  }
  if (batch % microBatches !== 0) {
    throw new OptionError(`micro-batches: ${microBatches} do not divide a batch of ${batch}`)
  }
  if (subnetworks === 1) {
    if (microBatches === 1) return
    throw new OptionError(`micro-batches: ${microBatches}; only a network that is cut takes pieces`)
  }
  const { network, size } = options
  const most = imageNetwork({ network, size, classes: 2 }).subnetworks.length
  if (subnetworks > most) {
    throw new OptionError(`subnetworks: ${subnetworks}; ${network} is cut into 1 to ${most}`)
  }
  if (shards < subnetworks) {
    const own = `each of ${subnetworks} subnetworks has its own`
    throw new OptionError(`shards: ${shards}; ${own}: give ${subnetworks} or more`)
  }
  if (policy.startsWith('ssp')) {
    throw new OptionError(`policy: ${policy} waits for trainers; subnetworks take another`)
  }
}
