// Preparing a corpus, in a compute thread of the control process: features, the flat start, and the
// first alignments, a part of a set at a call so that several threads share the work.
import { viterbiAligner } from '../../models/sequence/alignment.ts'
import {
  loadUtterances,
  type Skipped,
  type SoundCounts,
  type Utterance,
} from '../../models/sequence/corpus.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'
import { addDeltas, normalizeUtterance } from '../../models/sequence/feature-transforms.ts'
import {
  type FeatureExtractor,
  type Features,
  featureExtractor,
} from '../../models/sequence/features.ts'
import { flatStart, type GaussianModel, scoreFrames } from '../../models/sequence/gaussian.ts'
import { assert } from '../../protocol/assert.ts'
import type { Disk } from '../../runtime/environment.ts'
import { type CorporaOptions, openCorpora, SAMPLE_RATE, type SpeechCorpora } from './corpora.ts'
import { pdfCount, transcriptGraph } from './graph.ts'
import type { SetName } from './task.ts'

export interface CorpusCounts {
  readonly sizes: { readonly [Name in SetName]: number }
  /** Of recordings that strings are made of; of others see `PreparedPart`. */
  readonly counts: SoundCounts
  readonly skipped: readonly Skipped[]
}

export interface PreparePart {
  readonly set: SetName
  readonly from: number
  readonly to: number
  /** Given for the training set: its utterances are aligned, and those that cannot be are left out. */
  readonly model?: GaussianModel
}

export interface PreparedUtterance {
  readonly id: string
  readonly speaker: string
  readonly words: readonly string[]
  readonly features: Features
  readonly alignment?: Alignment
}

export interface PreparedPart {
  readonly utterances: readonly PreparedUtterance[]
  readonly skipped: readonly Skipped[]
  readonly counts: SoundCounts
}

export interface SpeechPreparation {
  openCorpora(options: CorporaOptions): CorpusCounts
  /** Gaussians of the flat start, from the first utterances without noise. */
  flatStart(request: { utterances: number; passes: number }): Promise<GaussianModel>
  prepare(part: PreparePart): Promise<PreparedPart>
}

/** 40 log-mel energies of 25 ms every 10 ms, as the recipe for these digits has them. */
export const filterbank = {
  type: 'fbank',
  sampleFrequency: SAMPLE_RATE,
  windowType: 'hamming',
  numMelBins: 40,
  lowFreq: 20,
  highFreq: 4_000,
} as const

const cepstra = { type: 'mfcc', sampleFrequency: SAMPLE_RATE, useEnergy: false } as const

export function speechPreparation({ disk }: { readonly disk: Disk }): SpeechPreparation {
  let corpora: SpeechCorpora | undefined
  const opened = (): SpeechCorpora => {
    assert(corpora !== undefined, '`openCorpora` comes first')
    return corpora
  }
  const features = networkFeatures()
  const extractCepstra = featureExtractor(cepstra)
  const align = viterbiAligner()

  const alignClean = async (
    utterance: Utterance,
    model: GaussianModel,
  ): Promise<Alignment | string> => {
    const clean = await alignmentFrames(utterance, extractCepstra)
    if (typeof clean === 'string') return clean
    const values = scoreFrames(model, clean.rows)
    const outcome = align(transcriptGraph(utterance.words), { values, pdfs: pdfCount, scale: 1 })
    return outcome.aligned ? outcome.alignment : outcome.reason
  }

  return {
    openCorpora(options) {
      corpora = openCorpora(options, disk)
      const { train, development, test } = corpora.sets
      return {
        counts: corpora.counts,
        sizes: {
          train: train.utterances.length,
          development: development.utterances.length,
          test: test.utterances.length,
        },
        skipped: corpora.skipped,
      }
    },
    async flatStart({ utterances, passes }) {
      const chosen = opened().cleanTraining.utterances.slice(0, utterances)
      const frames: { frames: Float32Array; graph: ReturnType<typeof transcriptGraph> }[] = []
      let dimensions = 0
      for (const utterance of chosen) {
        const made = await alignmentFrames(utterance, extractCepstra)
        if (typeof made === 'string') continue
        dimensions = made.dims
        frames.push({ frames: made.rows, graph: transcriptGraph(utterance.words) })
      }
      return flatStart(frames, { pdfs: pdfCount, dimensions, passes })
    },
    async prepare({ set, from, to, model }) {
      const { sets, cleanTraining } = opened()
      const skipped: Skipped[] = []
      const counts: SoundCounts = {}
      const prepared: PreparedUtterance[] = []
      const clean = new Map(
        cleanTraining.utterances.slice(from, to).map((utterance) => [utterance.id, utterance]),
      )
      const skip = (one: Skipped) => void skipped.push(one)
      const chosen = sets[set].utterances.slice(from, to)
      for await (const { utterance, samples } of loadUtterances(chosen, {
        rate: SAMPLE_RATE,
        skip,
        counts,
      })) {
        const { id, speaker, words } = utterance
        const made = features(samples)
        const reason = refusalOf(made, UTTERANCE_FRAMES_MAX)
        if (reason !== undefined) {
          skip({ name: id, reason })
          continue
        }
        const alignment = model && (await alignClean(clean.get(id) ?? utterance, model))
        if (typeof alignment === 'string') skip({ name: id, reason: alignment })
        else prepared.push({ id, speaker, words, features: made, ...(alignment && { alignment }) })
      }
      return { utterances: prepared, skipped, counts }
    },
  }
}

/** A minute: a lattice, and the gradient of one step, must stay in bounds (Kaldi's max_frames). */
const UTTERANCE_FRAMES_MAX = 6_000

/** Why features of this length are not used. */
export function refusalOf({ frames }: Features, framesMax: number): string | undefined {
  if (frames === 0) return 'shorter than one frame'
  if (frames <= framesMax) return undefined
  const seconds = framesMax / 100
  return `${(frames / 100).toFixed(0)} s long: cut it (segments) into pieces of at most ${seconds} s`
}

/** What the network sees of an utterance, before splicing. */
export function networkFeatures(): (samples: Float32Array) => Features {
  const extract = featureExtractor(filterbank)
  return (samples) => {
    const features = extract.extract(samples)
    normalizeUtterance(features)
    return features
  }
}

async function alignmentFrames(
  utterance: Utterance,
  extractor: FeatureExtractor,
): Promise<Features | string> {
  let reason = 'no sound'
  const skip = (one: Skipped) => {
    reason = one.reason
  }
  for await (const { samples } of loadUtterances([utterance], { rate: SAMPLE_RATE, skip })) {
    const features = extractor.extract(samples)
    normalizeUtterance(features)
    return addDeltas(features, { order: 1 })
  }
  return reason
}
