// What people look at of a speech run, in its control process: what the last evaluation heard, and by the
// present model one string in detail, or a sound that somebody sent.
import { countErrors, errorsOf } from '../../models/sequence/error-rate.ts'
import { type FeatureStore, openFeatureStore } from '../../models/sequence/feature-store.ts'
import { alignedFloat32 } from '../../protocol/tensor.ts'
import {
  insightLimits,
  type LatticeShown,
  NotComputedError,
  type SpeechInsight,
  type Transcript,
  UnknownIdError,
  UnreadableError,
  type UtteranceShown,
} from '../insight.ts'
import type { Life } from '../run/life.ts'
import { onDemand } from '../run/on-demand.ts'
import { modelPath } from '../run/record.ts'
import type { DecodingSetting } from './decoding.ts'
import { wordNumbers } from './graph.ts'
import type { ModelNow, SpeechLooking } from './insight-compute.ts'
import type { SpeechPart } from './plan.ts'
import type { Candidate } from './run-record.ts'
import { featuresPath } from './task.ts'
import { transcriptionOf } from './transcriber.ts'
import type { SpeechUnderWay } from './world.ts'

/** What an evaluation heard. */
export interface HeardModel {
  readonly model: string
  readonly hypotheses: readonly (readonly string[])[]
}

export interface SpeechLooker {
  readonly insight: SpeechInsight
  /** The part that trains now. */
  begun(part: SpeechPart): void
  /** Answers a sample of it for everybody: the same strings each time. */
  evaluated(heard: HeardModel): readonly Transcript[]
}

type Model = ModelNow & { readonly name: string }

/** Before development strings have said something better: the middle of what they choose from. */
const UNTUNED: DecodingSetting = { scale: 0.3, bonus: -12 }

export function speechLooker(run: Omit<SpeechUnderWay, 'looker'>, life: Life): SpeechLooker {
  const { world, task } = run
  const { disk, clock, compute } = world.environment
  const store = openFeatureStore(disk.map(featuresPath(task.folder, 'development')))
  const listed = store.utterances.slice(0, insightLimits.utterancesMax)
  const thread = onDemand({
    clock,
    async start() {
      const started = compute.start(world.computeModule)
      await started.call('openLooking', task)
      return started
    },
  })
  let part: SpeechPart | undefined
  let heard: HeardModel | undefined

  async function present(): Promise<Model> {
    const { candidates, tally } = run.record
    if (!life.isOver && part && tally.examples > 0) {
      const parameters = await life.whileUnderWay(run.cluster.pull('average'))
      const { alignments } = part.configuration
      const tuned = candidates.at(-1)?.development
      if (parameters) return { name: part.name, parameters, alignments, setting: tuned ?? UNTUNED }
    }
    const kept = life.isOver ? bestOf(candidates) : candidates.at(-1)
    if (!kept) throw new NotComputedError('no model was trained yet')
    const parameters = alignedFloat32(disk.read(modelPath(world.options.out, kept.name)))
    const { name, alignments, development } = kept
    return { name, parameters, alignments, setting: development }
  }

  const insight: SpeechInsight = {
    async utterances() {
      return listed.map((utterance, index) => shown(utterance, heard, index))
    },
    async lattice(id) {
      const index = store.utterances.findIndex((utterance) => utterance.id === id)
      if (index < 0)
        throw new UnknownIdError(`no development utterance is named ${id.slice(0, 80)}`)
      return await thread.run(async ({ call }): Promise<LatticeShown> => {
        const { name: model, ...now } = await present()
        const looked = await call('look', { ...now, index })
        return { model, ...(looked as Awaited<ReturnType<SpeechLooking['look']>>) }
      })
    },
    async transcribe(audio) {
      return await thread.run(async ({ call }) => {
        const { name: model, ...now } = await present()
        const view = (await call('hear', { ...now, audio })) as Awaited<
          ReturnType<SpeechLooking['hear']>
        >
        if ('refused' in view) throw new UnreadableError(view.refused)
        return { model, ...transcriptionOf(view) }
      })
    },
  }
  return {
    insight,
    begun(begins) {
      part = begins
    },
    evaluated(now) {
      heard = now
      return sampleOf(listed, now)
    },
  }
}

type Stored = FeatureStore['utterances'][number]

function shown(
  { id, words: reference }: Stored,
  heard: HeardModel | undefined,
  index: number,
): UtteranceShown {
  const hypothesis = heard?.hypotheses[index]
  const spoken = { id, set: 'development', reference } as const
  if (!heard || !hypothesis) return spoken
  const errors = errorsOf(countErrors(wordNumbers(reference), wordNumbers(hypothesis)))
  return { ...spoken, hypothesis, errors, model: heard.model }
}

/** Spread over the strings. */
function sampleOf(listed: readonly Stored[], { hypotheses }: HeardModel): Transcript[] {
  const count = Math.min(insightLimits.transcriptsMax, listed.length)
  return Array.from({ length: count }, (_, place) => {
    const index = Math.floor((place * listed.length) / count)
    const { id = '', words: reference = [] } = listed[index] ?? {}
    return { id, reference, hypothesis: hypotheses[index] ?? [] }
  })
}

/** The one that the report keeps. */
function bestOf(candidates: readonly Candidate[]): Candidate | undefined {
  const kept = candidates.filter(({ model }) => model !== 'control')
  const [first, ...rest] = kept
  return rest.reduce(
    (least, one) => (least && least.development.percent <= one.development.percent ? least : one),
    first,
  )
}
