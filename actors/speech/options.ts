// The options of a speech run, as scripts and the command line give them. Everything but `data` has a
// default; `completeOptions` fills them in and refuses what is out of range, by name.
import { parsePolicy, policyUsages } from '../../models/optimizers/staleness.ts'
import { DeviceNameError } from '../../models/devices.ts'
import type { DeviceOptions, DevicePolicy } from '../../runtime/index.ts'
import { type ChaosFault, parseChaos } from '../chaos-plan.ts'
import { deviceOptionsOf } from '../devices.ts'
import type { Criterion } from '../report.ts'

export interface SpeechOptions {
  /** Folder of `{digit}_{speaker}_{index}.wav` recordings, or a Kaldi data directory. */
  readonly data: string
  readonly test?: string
  /** 'ce' stops after cross-entropy. */
  readonly criterion?: Criterion
  /** Also train the cross-entropy model for as many further passes over the data. */
  readonly control?: boolean
  readonly workers?: number
  /** So many of them, the last ones, or all, run on Deno; the others on what runs the control process. */
  readonly deno?: number
  readonly shards?: number
  /** Processes that make lattices ahead of the trainers; 0: each trainer makes its own. */
  readonly latticeWorkers?: number
  /** 'downpour', 'staleness-aware', 'ssp:BOUND', 'hard-sync', 'softsync:N'. */
  readonly policy?: string
  readonly optimizer?: OptimizerName
  /** How gradients travel: the lossy ones keep their error for the next push. */
  readonly codec?: 'float32' | 'float16' | 'int8'
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
  readonly seed?: number
  /** Signal-to-noise ratio of the strings made from recordings, in dB. */
  readonly snr?: number
  /** Of the trainers, in order of preference: 'cpu', 'cuda:0,cpu'. One process owns a GPU. */
  readonly device?: string
  /** After a fault of its device a trainer starts again on the 'same', or on the 'next' it may have. */
  readonly devicePolicy?: DevicePolicy
  readonly chaos?: string
  readonly out?: string
  readonly report?: string
  readonly resume?: boolean
  /** Folder of a finished run whose corpus, cross-entropy model and control are used again. */
  readonly from?: string
  /** Port of the control process; 0 picks a free one. */
  readonly port?: number
  /** Strings made from recordings: training, development, test. */
  readonly strings?: readonly [number, number, number]
  /** Frames of a cross-entropy minibatch. */
  readonly batchFrames?: number
  /** Utterances of a sequence-training minibatch. */
  readonly batchUtterances?: number
  /** A trainer whose step computes longer, in seconds, is replaced: it hangs. */
  readonly stepSeconds?: number
}

export type OptimizerName = 'sgd' | 'momentum' | 'adagrad' | 'rmsprop' | 'adam'

type Given = 'test' | 'report' | 'from' | 'learningRate' | 'boost' | 'smoothing'
export type CompleteOptions = Required<Omit<SpeechOptions, Given | 'chaos'>> &
  Pick<SpeechOptions, Given> & { readonly chaos: readonly ChaosFault[] }

export const defaults = {
  criterion: 'bmmi',
  control: false,
  workers: 2,
  deno: 0,
  shards: 2,
  latticeWorkers: 0,
  policy: 'downpour',
  optimizer: 'adam',
  codec: 'float32',
  epochs: 4,
  crossEntropyEpochs: 6,
  hidden: [64, 64],
  seed: 1,
  snr: 5,
  device: 'cpu',
  devicePolicy: 'same',
  resume: false,
  port: 0,
  strings: [4800, 600, 1200],
  batchFrames: 256,
  batchUtterances: 16,
  stepSeconds: 120,
} as const satisfies Partial<SpeechOptions>

export class OptionError extends Error {
  override readonly name = 'OptionError'
}

const bounds = {
  workers: [1, 64],
  deno: [0, 64],
  shards: [1, 64],
  latticeWorkers: [0, 64],
  epochs: [0, 1_000],
  crossEntropyEpochs: [1, 1_000],
  seed: [0, 0xffffffff],
  snr: [-40, 100],
  port: [0, 65_535],
  batchFrames: [1, 1_000_000],
  batchUtterances: [1, 4_096],
  stepSeconds: [1, 86_400],
} as const

export function completeOptions(options: SpeechOptions): CompleteOptions {
  const out = options.out ?? `runs/speech-${options.seed ?? defaults.seed}`
  const complete = { ...defaults, ...options, out, chaos: parseChaos(options.chaos ?? '') }
  for (const [name, [low, high]] of Object.entries(bounds)) {
    const value = complete[name as keyof typeof bounds]
    if (!(value >= low && value <= high) || (name !== 'snr' && !Number.isInteger(value))) {
      throw new OptionError(`${name}: ${value} is out of range; give ${low} to ${high}`)
    }
  }
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
  checkPolicyName(complete.policy)
  checkDeviceNames(complete)
  checkTargets(complete)
  return complete
}

/** Policies that read past parameters are none of the shards': a replayed journal has no past. */
const readsThePast = /^(dc-asgd|gap-aware)\b/

function checkPolicyName(policy: string): void {
  const offered = policyUsages.filter((usage) => !readsThePast.test(usage))
  const name = policy.split(':')[0]
  const isKnown = offered.some((usage) => usage.split(/[,:( ]/)[0] === name)
  if (!isKnown) throw new OptionError(`policy: '${policy}'; give one of ${offered.join(', ')}`)
  parsePolicy(policy)
}

function checkDeviceNames({ device, devicePolicy, workers }: CompleteOptions): void {
  const { choices, exclusive } = devicesOf(device, devicePolicy)
  if (devicePolicy === 'next' && choices.length < 2) {
    throw new OptionError(`device-policy: there is no next device; give --device ${device},OTHER`)
  }
  if (exclusive.length < choices.length || workers <= choices.length) return
  throw new OptionError(
    `device: ${workers} trainers share no GPU, and ${choices} are ${choices.length}; ` +
      `give ${workers} devices, --workers ${choices.length}, or ${device},cpu`,
  )
}

function devicesOf(device: string, policy: DevicePolicy): Required<DeviceOptions> {
  try {
    return deviceOptionsOf(device, policy)
  } catch (cause) {
    if (!(cause instanceof DeviceNameError)) throw cause
    throw new OptionError(`device: ${cause.message}`, { cause })
  }
}

function checkTargets({ chaos, workers, shards, latticeWorkers }: CompleteOptions): void {
  const counts: Readonly<Record<string, number>> = {
    trainer: workers,
    shard: shards,
    lattices: latticeWorkers,
  }
  for (const { fault, target } of chaos) {
    const [role = '', index = '0'] = target.split('-')
    if (Number(index) < (counts[role] ?? 0)) continue
    throw new OptionError(
      `chaos: ${fault}:${target} meets nobody: this run has ${counts[role]} of it`,
    )
  }
}
