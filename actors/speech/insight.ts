// What a speech run shows: transcripts of development strings and their lattices, by the last model that was
// evaluated. Made when somebody looks, by the compute threads of the control process, which train nothing.
import { countErrors, errorsOf } from '../../models/sequence/error-rate.ts'
import { openFeatureStore, type StoredUtterance } from '../../models/sequence/feature-store.ts'
import type { Lattice, Utterances } from '../../protocol/control.ts'
import { alignedFloat32 } from '../../protocol/tensor.ts'
import type { ComputeThread, Disk } from '../../runtime/environment.ts'
import { BusyError, NoInsightError, type RunInsight, UnknownUtteranceError } from '../insight.ts'
import { modelPath } from '../run/record.ts'
import type { LookRequest, SeenLattice } from './decoding.ts'
import type { Candidate } from './run-record.ts'
import { featuresPath } from './task.ts'

export interface SpeechInsightOptions {
  readonly disk: Disk
  readonly threads: readonly ComputeThread[]
  /** Of the corpus, and of the run. */
  readonly corpus: string
  readonly out: string
  readonly candidates: () => readonly Candidate[]
  readonly isOver: () => boolean
}

/** More can hardly be read, and each takes its time. */
const UTTERANCES_MAX = 100
const ARCS_MAX = 400
const WAITING_MAX = 8
const FRAME_SECONDS = 0.01
const SET = 'development'

export function speechInsight(options: SpeechInsightOptions): RunInsight {
  const { disk, corpus } = options
  const stored = openFeatureStore(disk.map(featuresPath(corpus, SET))).utterances
  const utterances = stored.slice(0, UTTERANCES_MAX)
  const inTurn = oneAtATime()
  let shown: Utterances | undefined

  return {
    async utterances() {
      const model = options.candidates().at(-1)
      if (shown && (shown.model === model?.name || options.isOver())) return shown
      if (!model || options.isOver()) return { utterances: utterances.map(asSaid) }
      shown = await inTurn(async () => {
        const hypotheses = await recogniseAll(options, model, utterances.length)
        const heard = utterances.map((utterance, index) => asHeard(utterance, hypotheses[index]))
        return { model: model.name, utterances: heard }
      })
      return shown
    },
    async lattice(id) {
      const index = stored.findIndex((utterance) => utterance.id === id)
      const utterance = stored[index]
      if (!utterance) throw new UnknownUtteranceError(`no ${id} among the development strings`)
      const model = options.candidates().at(-1)
      if (!model) throw new NoInsightError('no model has been evaluated yet')
      if (options.isOver()) throw new NoInsightError('the run is over: its threads are gone')
      const seen = await inTurn(
        async () =>
          await ask<SeenLattice>(options, 'look', { ...requestOf(options, model), index }),
      )
      if (!seen) throw new NoInsightError(`${id} has no path to the end`)
      return drawable(utterance, seen)
    },
  }
}

const asSaid = ({ id, words }: StoredUtterance) => ({ id, set: SET, reference: [...words] })

function asHeard(utterance: StoredUtterance, hypothesis: readonly string[] = []) {
  const errors = errorsOf(countErrors(utterance.words, hypothesis))
  return { ...asSaid(utterance), hypothesis: [...hypothesis], errors }
}

function requestOf({ disk, out }: SpeechInsightOptions, model: Candidate): LookRequest {
  const { alignments, development } = model
  const parameters = alignedFloat32(disk.read(modelPath(out, model.name)))
  const { scale, bonus } = development
  return { set: SET, parameters, alignments, setting: { scale, bonus } }
}

async function ask<R>(
  { threads }: SpeechInsightOptions,
  method: string,
  request: object,
): Promise<R | undefined> {
  // The last one: evaluations begin with the first.
  return (await threads.at(-1)?.call(method, request)) as R | undefined
}

async function recogniseAll(
  options: SpeechInsightOptions,
  model: Candidate,
  count: number,
): Promise<readonly (readonly string[])[]> {
  const request = { ...requestOf(options, model), from: 0, to: count }
  return (await ask<readonly (readonly string[])[]>(options, 'recognise', request)) ?? []
}

/** A state for each time at which a word begins or ends; the likeliest arcs. */
function drawable(
  { id, words: reference }: StoredUtterance,
  { frames, words, arcs, phones }: SeenLattice,
): Lattice {
  const likely = mergedArcs(arcs).slice(0, ARCS_MAX)
  const times = [...new Set(likely.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b)
  const stateAt = new Map(times.map((time, state) => [time, state]))
  const posteriorOf = (start: number, word: string): number =>
    arcs
      .filter((arc) => arc.name === word && arc.start <= start && arc.end > start)
      .reduce((sum, { posterior }) => sum + posterior, 0)
  return {
    id,
    frames,
    frameMs: 1_000 * FRAME_SECONDS,
    reference: [...reference],
    hypothesis: words.map(({ word }) => word),
    words: words.map(({ word, start, end }) => ({
      word,
      from: start * FRAME_SECONDS,
      to: end * FRAME_SECONDS,
      posterior: Math.min(1, posteriorOf(Math.floor((start + end) / 2), word)),
    })),
    alignment: phones.map(({ phone, start, end }) => ({
      label: phone,
      from: start * FRAME_SECONDS,
      to: end * FRAME_SECONDS,
    })),
    states: times.map((time) => ({ time: time * FRAME_SECONDS })),
    arcs: likely.map(({ start, end, name, posterior }) => ({
      from: stateAt.get(start) ?? 0,
      to: stateAt.get(end) ?? 0,
      word: name,
      posterior,
      score: Math.log(posterior),
    })),
  }
}

type NamedArc = SeenLattice['arcs'][number]

/** Boundaries so close are one to the eye. */
const SAME_FRAMES = 4

/** Arcs of one word between the same boundaries are one; the likeliest first. */
function mergedArcs(arcs: readonly NamedArc[]): NamedArc[] {
  const byChance = [...arcs].sort((a, b) => b.posterior - a.posterior)
  const boundaries: number[] = []
  const snap = (time: number): number => {
    const near = boundaries.find((each) => Math.abs(each - time) <= SAME_FRAMES)
    if (near !== undefined) return near
    boundaries.push(time)
    return time
  }
  const merged = new Map<string, NamedArc>()
  for (const arc of byChance) {
    const [start, end] = [snap(arc.start), snap(arc.end)]
    if (start >= end) continue
    const key = `${arc.word} ${start} ${end}`
    const posterior = Math.min(1, arc.posterior + (merged.get(key)?.posterior ?? 0))
    merged.set(key, { ...arc, start, end, posterior })
  }
  return [...merged.values()].sort((a, b) => b.posterior - a.posterior)
}

/** Work in turn; rejects with `BusyError` where too much waits. */
function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return (work) => {
    if (waiting >= WAITING_MAX) return Promise.reject(new BusyError('try again in a moment'))
    waiting += 1
    const done = last.then(work).finally(() => {
      waiting -= 1
    })
    last = done.catch(() => {})
    return done
  }
}
