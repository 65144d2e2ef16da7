// The options of a speech run, as scripts and the command line give them. Everything but `data` has a
// default; `completeOptions` fills them in and refuses what is out of range, by name.
import { type ChaosFault, parseChaos } from '../chaos-plan.ts'
import type { Criterion } from '../report.ts'
import {
  checkBounds,
  checkRunOptions,
  OptionError,
  type RunOptions,
  runDefaults,
} from '../run/options.ts'

export interface SpeechOptions extends Partial<Omit<RunOptions, 'chaos'>> {
  /** Faults by progress: 'kill:trainer@30%,stop:shard@60%'. */
  readonly chaos?: string
  /** Folder of `{digit}_{speaker}_{index}.wav` recordings, or a Kaldi data directory. */
  readonly data: string
  readonly test?: string
  /** 'ce' stops after cross-entropy. */
  readonly criterion?: Criterion
  /** Also train the cross-entropy model for as many further passes over the data. */
  readonly control?: boolean
  /** Processes that make lattices ahead of the trainers; 0: each trainer makes its own. */
  readonly latticeWorkers?: number
  /** Epochs of sequence training (and of the control). */
  readonly epochs?: number
  readonly crossEntropyEpochs?: number
  /** Of sequence training, for Adam; absent: what the criterion was tuned to. */
  readonly learningRate?: number
  /** bmmi: added per frame of a wrong word; absent: what it was tuned to. */
  readonly boost?: number
  /** Weight of cross-entropy beside the criterion (F-smoothing); absent: what it was tuned to. */
  readonly smoothing?: number
  /** Units of each hidden layer. */
  readonly hidden?: readonly number[]
  /** Signal-to-noise ratio of the strings made from recordings, in dB. */
  readonly snr?: number
  /** Folder of a finished run whose corpus, cross-entropy model and control are used again. */
  readonly from?: string
  /** Strings made from recordings: training, development, test. */
  readonly strings?: readonly [number, number, number]
  /** Frames of a cross-entropy minibatch. */
  readonly batchFrames?: number
  /** Utterances of a sequence-training minibatch. */
  readonly batchUtterances?: number
}

type Given = 'test' | 'report' | 'from' | 'learningRate' | 'boost' | 'smoothing'
export type CompleteOptions = Required<Omit<SpeechOptions, Given | 'chaos'>> &
  Pick<SpeechOptions, Given> & { readonly chaos: readonly ChaosFault[] }

export const defaults = {
  criterion: 'bmmi',
  control: false,
  ...runDefaults,
  latticeWorkers: 0,
  optimizer: 'adam',
  epochs: 4,
  crossEntropyEpochs: 6,
  hidden: [64, 64],
  snr: 5,
  strings: [4800, 600, 1200],
  batchFrames: 256,
  batchUtterances: 16,
} as const satisfies Partial<SpeechOptions>

const bounds = {
  latticeWorkers: [0, 64],
  epochs: [0, 1_000],
  crossEntropyEpochs: [1, 1_000],
  snr: [-40, 100],
  batchFrames: [1, 1_000_000],
  batchUtterances: [1, 4_096],
} as const

export function completeOptions(options: SpeechOptions): CompleteOptions {
  const out = options.out ?? `runs/speech-${options.seed ?? defaults.seed}`
  const complete = { ...defaults, ...options, out, chaos: parseChaos(options.chaos ?? '') }
  checkBounds(complete, bounds, { fractions: ['snr'] })
  if (options.learningRate !== undefined && !(options.learningRate > 0)) {
    throw new OptionError(`learning-rate: ${options.learningRate}; give a number above 0`)
  }
  for (const name of ['boost', 'smoothing'] as const) {
    const value = options[name]
    if (value !== undefined && !(value >= 0 && value <= 10)) {
      throw new OptionError(`${name}: ${value} is out of range; give 0 to 10`)
    }
  }
  if (options.boost !== undefined && complete.criterion !== 'bmmi') {
    throw new OptionError(`boost: ${complete.criterion} has none; only bmmi is boosted`)
  }
  if (complete.strings.some((count) => !Number.isInteger(count) || count < 1)) {
    throw new OptionError(`strings: ${complete.strings}; give three counts above 0`)
  }
  if (complete.hidden.some((units) => !Number.isInteger(units) || units < 1 || units > 65_536)) {
    throw new OptionError(`hidden: ${complete.hidden}; give layer sizes of 1 to 65536`)
  }
  const { workers, shards, latticeWorkers } = complete
  checkRunOptions(complete, { trainer: workers, shard: shards, lattices: latticeWorkers })
  return complete
}
