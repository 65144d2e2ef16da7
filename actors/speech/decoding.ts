// Decoding and realigning with a trained network, in a compute thread of the control process: error
// counts of every utterance for a grid of decoding settings, and forced alignments for the next phase.
import { viterbiAligner } from '../../models/sequence/alignment.ts'
import { type Decoder, decoder } from '../../models/sequence/decoder.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'
import { countErrors, type ErrorCounts } from '../../models/sequence/error-rate.ts'
import { type FeatureStore, openFeatureStore } from '../../models/sequence/feature-store.ts'
import { assert } from '../../protocol/assert.ts'
import { type ComputeWorld, logPriorsOf } from './compute.ts'
import { decodingGraph, pdfCount, transcriptGraph, wordNumbers } from './graph.ts'
import { type SpeechNetwork, speechNetwork } from './network.ts'
import { alignmentOf, featuresPath, openAlignments, type SetName, type SpeechTask } from './task.ts'
import { DECODING_BEAM } from './view.ts'

/** Acoustic scale and word bonus. */
export interface DecodingSetting {
  readonly scale: number
  readonly bonus: number
}

export interface DecodeRequest {
  readonly set: SetName
  readonly from: number
  readonly to: number
  readonly parameters: Float32Array
  /** Whose priors the acoustic scores are divided by. */
  readonly alignments: string
  readonly settings: readonly DecodingSetting[]
  /** Of so many utterances, by their number, the words are answered too. */
  readonly wordsBelow: number
}

/** How one utterance is heard with one setting. */
export interface Heard {
  readonly errors: ErrorCounts
  /** Numbers. */
  readonly words?: readonly number[]
}

/** Per utterance, per setting. */
export type HeardTable = readonly (readonly Heard[])[]

export interface AlignRequest {
  readonly from: number
  readonly to: number
  readonly parameters: Float32Array
  readonly alignments: string
  readonly scale: number
}

export interface SpeechDecoding {
  openDecoding(task: SpeechTask): void
  decode(request: DecodeRequest): Promise<HeardTable>
  /** Alignments of a part of the training set, and the utterances that kept their old one. */
  align(request: AlignRequest): Promise<{ alignments: Alignment[]; refused: string[] }>
}

/** Utterances of one forward pass. */
const BATCH_UTTERANCES = 8

export function speechDecoding({ disk, clock }: ComputeWorld): SpeechDecoding {
  let opened: { task: SpeechTask; network: SpeechNetwork } | undefined
  const stores = new Map<SetName, FeatureStore>()
  const decoders = new Map<number, Decoder>()
  const align = viterbiAligner()

  const whenOpened = (): { task: SpeechTask; network: SpeechNetwork } => {
    assert(opened !== undefined, '`openDecoding` comes first')
    return opened
  }
  const storeOf = (set: SetName): FeatureStore => {
    const known = stores.get(set)
    if (known) return known
    const store = openFeatureStore(disk.map(featuresPath(whenOpened().task.folder, set)))
    stores.set(set, store)
    return store
  }
  const decoderOf = (bonus: number): Decoder => {
    const made = decoders.get(bonus) ?? decoder(decodingGraph(bonus), pdfCount)
    decoders.set(bonus, made)
    return made
  }
  const alignmentsOf = (file: string): Alignment =>
    openAlignments(disk.map(`${whenOpened().task.folder}/${file}`))

  /** Calls `use` with every utterance of a part and its acoustic scores. */
  async function forEachScored(
    part: {
      set: SetName
      from: number
      to: number
      parameters: Float32Array
      logPriors: Float32Array
    },
    use: (utterance: FeatureStore['utterances'][number], scores: Float32Array) => void,
  ): Promise<void> {
    const store = storeOf(part.set)
    const { network } = whenOpened()
    for (let at = part.from; at < part.to; at += BATCH_UTTERANCES) {
      const batch = store.utterances.slice(at, Math.min(part.to, at + BATCH_UTTERANCES))
      const frames = batch.flatMap(({ offset, frames }) =>
        Array.from({ length: frames }, (_, t) => offset + t),
      )
      const features = new Float32Array(frames.length * (2 * store.context + 1) * store.dims)
      store.gatherFrames(Uint32Array.from(frames), features)
      const scores = await network.forward(part.parameters, features)
      for (let i = 0; i < scores.length; i++) scores[i]! -= part.logPriors[i % pdfCount]!
      let row = 0
      for (const utterance of batch) {
        use(utterance, scores.subarray(row * pdfCount, (row + utterance.frames) * pdfCount))
        row += utterance.frames
      }
    }
  }

  return {
    openDecoding(task) {
      stores.clear()
      opened = { task, network: speechNetwork(task.network, { threads: task.threads, clock }) }
    },
    async decode({ settings, alignments, wordsBelow, ...part }) {
      const logPriors = logPriorsOf(alignmentsOf(alignments), pdfCount)
      const table: Heard[][] = []
      await forEachScored({ ...part, logPriors }, ({ words: spoken }, scores) => {
        const reference = wordNumbers(spoken)
        const isKept = part.from + table.length < wordsBelow
        table.push(
          settings.map(({ scale, bonus }) => {
            const options = { acousticScale: scale, beam: DECODING_BEAM }
            const decoded = decoderOf(bonus).decode(scores, options) ?? []
            const words = decoded.map(({ word }) => word)
            return { errors: countErrors(reference, words), ...(isKept && { words }) }
          }),
        )
      })
      return table
    },
    async align({ alignments, scale, ...part }) {
      const before = alignmentsOf(alignments)
      const logPriors = logPriorsOf(before, pdfCount)
      const made: Alignment[] = []
      const refused: string[] = []
      await forEachScored({ ...part, set: 'train', logPriors }, (utterance, values) => {
        const outcome = align(transcriptGraph(utterance.words), { values, pdfs: pdfCount, scale })
        if (!outcome.aligned) refused.push(`${utterance.id}: ${outcome.reason}`)
        const { offset, frames } = utterance
        made.push(outcome.aligned ? outcome.alignment : alignmentOf(before, offset, frames))
      })
      return { alignments: made, refused }
    },
  }
}
