// What people look at of a speech model, in a compute thread of the control process: one development string
// in detail, or a sound that somebody sent.
import { type Decoder, decoder } from '../../models/sequence/decoder.ts'
import { splice } from '../../models/sequence/feature-transforms.ts'
import { openFeatureStore, type FeatureStore } from '../../models/sequence/feature-store.ts'
import { threeStates } from '../../models/sequence/topology.ts'
import { assert } from '../../protocol/assert.ts'
import type { LatticeShown } from '../insight.ts'
import { type ComputeWorld, logPriorsOf } from './compute.ts'
import { SAMPLE_RATE } from './corpora.ts'
import type { DecodingSetting } from './decoding.ts'
import { decodingGraph, pdfCount, phones, words } from './graph.ts'
import { type SpeechNetwork, speechNetwork } from './network.ts'
import { networkFeatures } from './preparation.ts'
import { FRAMES_MAX, framesOf } from './sound.ts'
import { featuresPath, openAlignments, type SpeechTask } from './task.ts'
import { type Recogniser, type UtteranceView, viewUtterance } from './view.ts'

/** The model, as it is now. */
export interface ModelNow {
  readonly parameters: Float32Array
  /** Whose priors the acoustic scores are divided by. */
  readonly alignments: string
  readonly setting: DecodingSetting
}

export interface SpeechLooking {
  openLooking(task: SpeechTask): void
  look(request: ModelNow & { readonly index: number }): Promise<Omit<LatticeShown, 'model'>>
  hear(
    request: ModelNow & { readonly audio: Uint8Array },
  ): Promise<UtteranceView | { readonly refused: string }>
}

interface Opened {
  readonly task: SpeechTask
  readonly network: SpeechNetwork
  readonly development: FeatureStore
}

export function speechLooking({ disk, clock }: ComputeWorld): SpeechLooking {
  let opened: Opened | undefined
  let latest: { bonus: number; decoder: Decoder } | undefined
  const features = networkFeatures()

  const whenOpened = (): Opened => {
    assert(opened !== undefined, '`openLooking` comes first')
    return opened
  }
  const decoderOf = (bonus: number): Decoder => {
    if (latest?.bonus !== bonus)
      latest = { bonus, decoder: decoder(decodingGraph(bonus), pdfCount) }
    return latest.decoder
  }
  const recogniserOf = ({ scale, bonus }: DecodingSetting): Recogniser => ({
    decoder: decoderOf(bonus),
    pdfs: pdfCount,
    words,
    phones,
    statesPerPhone: threeStates.statesPerPhone,
    acousticScale: scale,
  })

  async function view(input: Float32Array, now: ModelNow): Promise<UtteranceView> {
    const { task, network } = whenOpened()
    const scores = await network.forward(now.parameters, input)
    const alignments = openAlignments(disk.map(`${task.folder}/${now.alignments}`))
    const logPriors = logPriorsOf(alignments, pdfCount)
    for (let i = 0; i < scores.length; i++) scores[i]! -= logPriors[i % pdfCount]!
    return viewUtterance(scores, recogniserOf(now.setting))
  }

  return {
    openLooking(task) {
      opened = {
        task,
        network: speechNetwork(task.network, { threads: 1, clock }),
        development: openFeatureStore(disk.map(featuresPath(task.folder, 'development'))),
      }
    },
    async look({ index, ...now }) {
      const { development, task } = whenOpened()
      const utterance = development.utterances[index]
      assert(utterance !== undefined, 'a development utterance is in its store')
      const { id, words: reference, frames, offset } = utterance
      const input = new Float32Array(frames * task.network.inputs)
      development.gatherFrames(
        Uint32Array.from({ length: frames }, (_, t) => offset + t),
        input,
      )
      const { confidence: _, ...shown } = await view(input, now)
      return { id, reference, ...shown }
    },
    async hear({ audio, ...now }) {
      const { development } = whenOpened()
      const made = await framesOf(audio, { features, rate: SAMPLE_RATE, framesMax: FRAMES_MAX })
      if (typeof made === 'string') return { refused: made }
      const { context } = development
      return view(splice(made, { left: context, right: context }).rows, now)
    },
  }
}
