// The plan of a speech run: its parts in order, each with what the shards, the source and the compute
// threads need to know. A pure function of the options and the size of the corpus.
import {
  type Average,
  optimizerSpec,
  type Piece,
  parsePolicy,
  type Schedule,
} from '../../models/optimizers/index.ts'
import type { CriterionOptions } from '../../models/sequence/criterion.ts'
import type { TrainingPart } from '../run/part.ts'
import type { CompleteOptions } from './options.ts'
import type { FramesPhase, SequencesPhase } from './task.ts'

export interface SpeechPart extends TrainingPart {
  readonly name: 'warm-start' | 'cross-entropy' | 'control' | 'sequence'
  /** Model it starts from; absent: the parameters the shards have. */
  readonly from?: 'initial' | 'crossEntropy'
  /** Model that its epochs are candidates for; 'crossEntropy' keeps only the last. */
  readonly yields?: 'crossEntropy' | 'control' | 'sequence'
  readonly configuration: FramesPhase | SequencesPhase
  /** Realign the training set with the network when it is done, into this file. */
  readonly realign?: string
}

export const alignmentFiles = {
  flatStart: 'flat-start.alignments',
  warmStart: 'warm-start.alignments',
  crossEntropy: 'cross-entropy.alignments',
} as const

/** Acoustic scale of realignment: between decoding's and 1. */
export const REALIGN_SCALE = 0.5

export function planSpeech(
  options: CompleteOptions,
  corpus: { readonly frames: number; readonly utterances: number },
): readonly SpeechPart[] {
  const { workers, epochs, crossEntropyEpochs, batchFrames, batchUtterances } = options
  const frameSteps = Math.ceil(corpus.frames / batchFrames)
  const sequenceSteps = Math.ceil(corpus.utterances / batchUtterances)
  const policy = parsePolicy(options.policy)
  // hard-sync: a second lane would push into the next round. SSP: it would go on while the first waits.
  const lanes = policy.name === 'hard-sync' || policy.name === 'ssp' ? 1 : 2
  const optimizer = (schedule: Schedule) => optimizerSpec(options.optimizer, { schedule })
  const frames = (alignments: string): FramesPhase => ({ alignments, batchFrames })

  const warmStart: SpeechPart = {
    name: 'warm-start',
    shown: 'cross-entropy',
    examples: 'frames',
    kind: 'frames',
    from: 'initial',
    trainers: 1,
    lanes,
    stepsPerEpoch: frameSteps,
    start: {
      phase: 1,
      steps: frameSteps,
      policy: parsePolicy('downpour'),
      optimizer: optimizer({ name: 'constant', rate: rates.crossEntropy * scaleOf(options) }),
      average: averageOf(0),
    },
    configuration: frames(alignmentFiles.flatStart),
    realign: alignmentFiles.warmStart,
  }
  const crossEntropySteps = frameSteps * Math.max(0, crossEntropyEpochs - 1)
  const crossEntropy: SpeechPart = {
    ...warmStart,
    name: 'cross-entropy',
    trainers: workers,
    yields: 'crossEntropy',
    start: {
      ...warmStart.start,
      phase: 2,
      steps: crossEntropySteps,
      policy,
      optimizer: optimizer(halving(rates.crossEntropy * scaleOf(options), crossEntropySteps)),
      average: averageOf(AVERAGE_DECAY.frames),
    },
    configuration: frames(alignmentFiles.warmStart),
    realign: alignmentFiles.crossEntropy,
  }
  const { from: _initial, ...continued } = crossEntropy
  const control: SpeechPart = {
    ...continued,
    name: 'control',
    shown: 'control',
    from: 'crossEntropy',
    yields: 'control',
    start: {
      ...crossEntropy.start,
      phase: 3,
      steps: frameSteps * epochs,
      optimizer: optimizer(lastEpochLower(rates.control * scaleOf(options), frameSteps, epochs)),
    },
    configuration: frames(alignmentFiles.crossEntropy),
  }
  // A single epoch is the warm start alone.
  const single: SpeechPart = {
    ...warmStart,
    yields: 'crossEntropy',
    realign: alignmentFiles.crossEntropy,
  }
  const parts = crossEntropySteps > 0 ? [warmStart, continued] : [single]
  if (options.control && epochs > 0) parts.push(withoutRealign(control))
  if (options.criterion !== 'ce' && epochs > 0) {
    parts.push({
      name: 'sequence',
      shown: 'sequence',
      examples: 'frames',
      kind: 'sequences',
      from: 'crossEntropy',
      trainers: workers,
      lanes,
      yields: 'sequence',
      stepsPerEpoch: sequenceSteps,
      start: {
        phase: 4,
        steps: sequenceSteps * epochs,
        policy,
        optimizer: optimizer(
          lastEpochLower(
            (options.learningRate ?? recipes[options.criterion].rate) * scaleOf(options),
            sequenceSteps,
            epochs,
          ),
        ),
        average: averageOf(AVERAGE_DECAY.sequences),
      },
      configuration: {
        ...tunedPhase(options.criterion, options),
        alignments: alignmentFiles.crossEntropy,
        batchUtterances,
      },
    })
  }
  return parts
}

/** What the criterion was tuned to, but for what the user says. */
function tunedPhase(
  criterion: SequencesPhase['criterion'],
  { boost, smoothing }: CompleteOptions,
): SequenceRecipe['phase'] {
  const { phase } = recipes[criterion]
  return {
    ...phase,
    crossEntropyWeight: smoothing ?? phase.crossEntropyWeight,
    options: { ...phase.options, boost: boost ?? phase.options.boost },
  }
}

function withoutRealign({ realign: _realign, ...part }: SpeechPart): SpeechPart {
  return part
}

const averageOf = (decay: number): Average => ({ name: 'exponential', decay, debias: false })

/** Per update: a control epoch has many more updates than a sequence epoch. */
const AVERAGE_DECAY = { frames: 0.998, sequences: 0.98 }

/** Adam's rates; the other optimizers' usual rates relative to Adam's. */
const rates = { crossEntropy: 1e-3, control: 3e-4 }

function scaleOf({ optimizer }: CompleteOptions): number {
  return { adam: 1, sgd: 100, momentum: 10, adagrad: 10, rmsprop: 1 }[optimizer]
}

type SequenceRecipe = {
  readonly rate: number
  readonly phase: Omit<SequencesPhase, 'alignments' | 'batchUtterances'>
}

const criterionOptions: Omit<CriterionOptions, 'boost'> = {
  acousticScale: 0.5,
  boostUnit: 'word',
  oneSilenceClass: true,
  frameRejection: true,
  numerator: { toleranceFrames: 5 },
}

/** What each criterion was tuned to on development strings (docs/results.md). */
export const recipes: { readonly [C in SequencesPhase['criterion']]: SequenceRecipe } = {
  mmi: recipe('mmi', { smoothing: 0.03 }),
  bmmi: recipe('bmmi', { boost: 0.6, smoothing: 0.1 }),
  mpfe: recipe('mpfe', { smoothing: 0.03 }),
  mwe: recipe('mwe', { smoothing: 0.1 }),
  smbr: recipe('smbr', { smoothing: 0.03 }),
}

function recipe(
  criterion: SequencesPhase['criterion'],
  { boost = 0, smoothing }: { readonly boost?: number; readonly smoothing: number },
): SequenceRecipe {
  return {
    rate: 1e-3,
    phase: {
      criterion,
      options: { ...criterionOptions, boost },
      crossEntropyWeight: smoothing,
      wordBonus: -12,
      beam: 60,
      latticeBeam: 20,
    },
  }
}

/** Full, then half, a quarter and a tenth from 2/5, 3/5 and 4/5 of the steps. */
function halving(rate: number, steps: number): Schedule {
  const until = (part: number) => Math.ceil((part * steps) / 5)
  return inPieces([
    { untilUpdate: until(2), rate },
    { untilUpdate: until(3), rate: rate / 2 },
    { untilUpdate: until(4), rate: rate / 4 },
    { untilUpdate: Number.MAX_SAFE_INTEGER, rate: rate / 10 },
  ])
}

/** A single epoch is not lowered. */
function lastEpochLower(rate: number, stepsPerEpoch: number, epochs: number): Schedule {
  if (epochs === 1) return { name: 'constant', rate }
  return inPieces([
    { untilUpdate: stepsPerEpoch * (epochs - 1), rate },
    { untilUpdate: Number.MAX_SAFE_INTEGER, rate: rate * 0.3 },
  ])
}

// Where there are fewer steps than pieces, some pieces have no step.
function inPieces(pieces: readonly Piece[]): Schedule {
  const filled = pieces.filter(
    ({ untilUpdate }, index) => untilUpdate > (pieces[index - 1]?.untilUpdate ?? 0),
  )
  return { name: 'piecewise', pieces: filled }
}
