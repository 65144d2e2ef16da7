// Decoding and realigning with a trained network, in a compute thread of the control process: error
// counts of every utterance for a grid of decoding settings, and forced alignments for the next phase.
import { viterbiAligner } from '../../models/sequence/alignment.ts'
import { type Decoder, decoder } from '../../models/sequence/decoder.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'
import { countErrors, type ErrorCounts } from '../../models/sequence/error-rate.ts'
import { type FeatureStore, openFeatureStore } from '../../models/sequence/feature-store.ts'
import { phoneOf, threeStates } from '../../models/sequence/topology.ts'
import { type WordArc, wordArcs } from '../../models/sequence/word-lattice.ts'
import { assert } from '../../protocol/assert.ts'
import { type ComputeWorld, logPriorsOf } from './compute.ts'
import { decodingGraph, pdfCount, phones, transcriptGraph, wordNumbers, words } from './graph.ts'
import { type SpeechNetwork, speechNetwork } from './network.ts'
import { alignmentOf, featuresPath, openAlignments, type SetName, type SpeechTask } from './task.ts'

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
}

/** Per utterance, per setting. */
export type ErrorTable = readonly (readonly ErrorCounts[])[]

export interface AlignRequest {
  readonly from: number
  readonly to: number
  readonly parameters: Float32Array
  readonly alignments: string
  readonly scale: number
}

/** One utterance, or some, at one setting. */
export interface LookRequest {
  readonly set: SetName
  readonly parameters: Float32Array
  readonly alignments: string
  readonly setting: DecodingSetting
}

export interface SeenLattice {
  readonly frames: number
  readonly words: readonly { readonly word: string; readonly start: number; readonly end: number }[]
  readonly arcs: readonly (WordArc & { readonly name: string })[]
  /** Phone by phone, along the best path. */
  readonly phones: readonly {
    readonly phone: string
    readonly start: number
    readonly end: number
  }[]
}

export interface SpeechDecoding {
  /** Words of each utterance of a part. */
  recognise(
    request: LookRequest & { from: number; to: number },
  ): Promise<readonly (readonly string[])[]>
  /** Nothing where no path is left. */
  look(request: LookRequest & { index: number }): Promise<SeenLattice | undefined>
  openDecoding(task: SpeechTask): void
  decode(request: DecodeRequest): Promise<ErrorTable>
  /** Alignments of a part of the training set, and the utterances that kept their old one. */
  align(request: AlignRequest): Promise<{ alignments: Alignment[]; refused: string[] }>
}

/** Beyond this below the best a path does not come back: found by decoding without a beam. */
const DECODING_BEAM = 60

/** What is so much less likely than the best path is not drawn. */
const LOOK_BEAM = 12

/** Frames of one phone in a row are one stretch. */
function phonesAlong(pdfs: Int32Array): SeenLattice['phones'] {
  const stretches: { phone: string; start: number; end: number }[] = []
  pdfs.forEach((pdf, frame) => {
    const phone = phones[phoneOf(threeStates, pdf)] ?? ''
    const last = stretches.at(-1)
    if (last?.phone === phone) last.end = frame + 1
    else stretches.push({ phone, start: frame, end: frame + 1 })
  })
  return stretches
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
    async decode({ settings, alignments, ...part }) {
      const logPriors = logPriorsOf(alignmentsOf(alignments), pdfCount)
      const table: ErrorCounts[][] = []
      await forEachScored({ ...part, logPriors }, ({ words }, scores) => {
        const reference = wordNumbers(words)
        table.push(
          settings.map(({ scale, bonus }) => {
            const options = { acousticScale: scale, beam: DECODING_BEAM }
            const decoded = decoderOf(bonus).decode(scores, options) ?? []
            return countErrors(
              reference,
              decoded.map(({ word }) => word),
            )
          }),
        )
      })
      return table
    },
    async recognise({ setting, alignments, ...part }) {
      const logPriors = logPriorsOf(alignmentsOf(alignments), pdfCount)
      const options = { acousticScale: setting.scale, beam: DECODING_BEAM }
      const made: string[][] = []
      await forEachScored({ ...part, logPriors }, (_, scores) => {
        const decoded = decoderOf(setting.bonus).decode(scores, options) ?? []
        made.push(decoded.map(({ word }) => words[word] ?? ''))
      })
      return made
    },
    async look({ setting, alignments, index, ...part }) {
      const logPriors = logPriorsOf(alignmentsOf(alignments), pdfCount)
      let seen: SeenLattice | undefined
      await forEachScored(
        { ...part, from: index, to: index + 1, logPriors },
        ({ frames }, scores) => {
          const acousticScale = setting.scale
          const options = { acousticScale, beam: DECODING_BEAM, latticeBeam: LOOK_BEAM }
          const search = decoderOf(setting.bonus)
          const lattice = search.makeLattice(scores, options)
          const best = search.decode(scores, options)
          if (!lattice || !best) return
          const named = best.map(({ word, ...span }) => ({ word: words[word] ?? '', ...span }))
          const arcs = wordArcs(lattice, acousticScale).map((arc) => ({
            ...arc,
            name: arc.word === 0 ? '' : (words[arc.word] ?? ''),
          }))
          const graph = transcriptGraph(named.map(({ word }) => word))
          const aligned = align(graph, { values: scores, pdfs: pdfCount, scale: acousticScale })
          const pdfs = aligned.aligned ? aligned.alignment.pdfs : new Int32Array()
          seen = { frames, words: named, arcs, phones: phonesAlong(pdfs) }
        },
      )
      return seen
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
