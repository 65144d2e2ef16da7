// The options of fine-tuning a model that somebody else made. Everything but `model` and `data` has a
// default; `completeModelOptions` fills them in and refuses what is out of range, by name.
import type { FineTuningOptions } from '../../models/trainable.ts'
import { type ChaosFault, parseChaos } from '../chaos-plan.ts'
import { type ScheduleName, scheduleNames } from '../image/options.ts'
import {
  checkBounds,
  checkRunOptions,
  OptionError,
  type RunOptions,
  runDefaults,
} from '../run/options.ts'

export interface ModelOptions extends Partial<Omit<RunOptions, 'chaos'>> {
  /** Faults by progress: 'kill:trainer@30%,kill:shard@60%'. */
  readonly chaos?: string
  /** An .onnx file; tensors in files beside it are found. */
  readonly model: string
  /**
   * A .safetensors file with a tensor per input of the model, rows first, and `targets`; or, for a model of
   * images, a folder per class.
   */
  readonly data: string
  /** Absent: 'cross-entropy' where targets are whole numbers, 'mean-squared-error' otherwise. */
  readonly loss?: FineTuningOptions['loss']
  /** Which output the loss is over; absent: the first. */
  readonly output?: string
  /** Starts the last layer anew, with as many classes as the data has. */
  readonly replaceHead?: boolean
  readonly epochs?: number
  /** Rows of a minibatch; a model of a fixed batch keeps it. */
  readonly batch?: number
  readonly learningRate?: number
  readonly schedule?: ScheduleName
  readonly weightDecay?: number
  readonly averageDecay?: number
  readonly threads?: number
}

type Given = 'report' | 'loss' | 'output'
export type CompleteModelOptions = Required<Omit<ModelOptions, Given | 'chaos'>> &
  Pick<ModelOptions, Given> & { readonly chaos: readonly ChaosFault[] }

export const modelDefaults = {
  ...runDefaults,
  optimizer: 'adam',
  replaceHead: false,
  epochs: 5,
  batch: 32,
  learningRate: 1e-3,
  schedule: 'linear',
  weightDecay: 0,
  averageDecay: 0.98,
  threads: 1,
} as const satisfies Partial<ModelOptions>

const bounds = { epochs: [1, 10_000], batch: [1, 65_536], threads: [1, 64] } as const
const fractionBounds = {
  learningRate: [1e-9, 100],
  weightDecay: [0, 1],
  averageDecay: [0, 0.999_999],
} as const

export function completeModelOptions(options: ModelOptions): CompleteModelOptions {
  const out = `runs/model-${options.seed ?? modelDefaults.seed}`
  const complete = { ...modelDefaults, out, ...options, chaos: parseChaos(options.chaos ?? '') }
  if (!scheduleNames.includes(complete.schedule)) {
    throw new OptionError(`schedule: '${complete.schedule}'; give ${scheduleNames.join(', ')}`)
  }
  checkBounds(complete, bounds)
  const fractions = Object.keys(fractionBounds) as (keyof typeof fractionBounds)[]
  checkBounds(complete, fractionBounds, { fractions })
  checkRunOptions(complete, { trainer: complete.workers, shard: complete.shards })
  return complete
}
