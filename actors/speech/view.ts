// The scores of one utterance as people look at them: the words heard with times and posteriors, the phones
// and states they are aligned to, and a lattice of words that is small enough to be drawn.
import type { Decoder } from '../../models/sequence/decoder.ts'
import { forwardBackward } from '../../models/sequence/forward-backward.ts'
import type { Lattice } from '../../models/sequence/lattice.ts'
import { bestArcs, type WordLattice, wordLattice } from '../../models/sequence/word-lattice.ts'
import { insightLimits, type LatticeShown, type WordShown } from '../insight.ts'

export type UtteranceView = Pick<
  LatticeShown,
  'frames' | 'frameMs' | 'hypothesis' | 'words' | 'alignment' | 'states' | 'arcs'
> & {
  /** Mean over the frames of the posterior of what was heard there; 1 where nobody could doubt it. */
  readonly confidence: number
}

export interface Recogniser {
  readonly decoder: Decoder
  readonly pdfs: number
  /** By number: 0 is silence. */
  readonly words: readonly string[]
  readonly phones: readonly string[]
  readonly statesPerPhone: number
  readonly acousticScale: number
}

/** Beyond this below the best a path does not come back: found by decoding without a beam. */
export const DECODING_BEAM = 60
const FRAME_MS = 10
/** Of a lattice, in turn while it is too large: a model that has learnt little doubts everything. */
const LATTICE_BEAMS = [12, 6, 3, 0]
const SEGMENTS_MAX = 20_000
/** Of states: what is looked at in detail is looked at in memory. */
const ARCS_MAX = 2_000_000

/** `scores`: frames x pdfs. Where no path is left everything but the number of frames is empty. */
export function viewUtterance(scores: Float32Array, recogniser: Recogniser): UtteranceView {
  const { decoder, acousticScale, pdfs } = recogniser
  const frames = scores.length / pdfs
  const none = { hypothesis: [], words: [], alignment: [], states: [], arcs: [], confidence: 0 }
  for (const latticeBeam of LATTICE_BEAMS) {
    const options = { acousticScale, beam: DECODING_BEAM, latticeBeam }
    const lattice = decoder.makeLattice(scores, options)
    if (!lattice) break
    const isLast = latticeBeam === 0
    if (lattice.arcTarget.length > ARCS_MAX && !isLast) continue
    const segmentsMax = isLast ? Number.POSITIVE_INFINITY : SEGMENTS_MAX
    const { arcsMax } = insightLimits
    const shown = wordLattice(lattice, acousticScale, { arcsMax, segmentsMax })
    if (shown) return { frames, frameMs: FRAME_MS, ...described(lattice, shown, recogniser) }
  }
  return { frames, frameMs: FRAME_MS, ...none }
}

function described(lattice: Lattice, shown: WordLattice, recogniser: Recogniser) {
  const { words: names, acousticScale } = recogniser
  const posterior = wordPosteriors(lattice, acousticScale)
  const best = shown.best.map((index) => shown.arcs[index]!)
  const timeOf = (state: number): number => shown.times[state]!
  let sum = 0
  const words: WordShown[] = []
  for (const { from, to, word } of best) {
    let likeliest = 0
    for (let t = timeOf(from); t < timeOf(to); t++) {
      sum += posterior(t, word)
      likeliest = Math.max(likeliest, posterior(t, word))
    }
    if (word === 0) continue
    const times = { from: secondsOf(timeOf(from)), to: secondsOf(timeOf(to)) }
    words.push({ word: names[word] ?? '', ...times, posterior: likeliest })
  }
  return {
    hypothesis: words.map(({ word }) => word),
    words,
    confidence: Math.min(1, sum / lattice.frames),
    alignment: alignmentOf(lattice, bestArcs(lattice, acousticScale), recogniser),
    states: shown.times.map((frame) => ({ time: secondsOf(frame) })),
    arcs: shown.arcs.map(({ word, ...arc }) => ({ ...arc, word: names[word] ?? '' })),
  }
}

/** Of a word in a frame, over all paths; where the lattice cannot be summed, of the best path alone. */
function wordPosteriors(
  lattice: Lattice,
  acousticScale: number,
): (frame: number, word: number) => number {
  const { timeOffset, arcOffset, arcWord } = lattice
  const posteriors = forwardBackward(lattice, acousticScale)?.arcs
  if (!posteriors) return () => 1
  return (frame, word) => {
    let sum = 0
    const end = arcOffset[timeOffset[frame + 1]!]!
    for (let arc = arcOffset[timeOffset[frame]!]!; arc < end; arc++) {
      if (arcWord[arc] === word) sum += posteriors[arc]!
    }
    return Math.min(1, sum)
  }
}

type Alignment = LatticeShown['alignment'][number]

function alignmentOf(
  { arcPdf, arcPhone, arcOutput, frames }: Lattice,
  path: Int32Array,
  { phones, statesPerPhone }: Recogniser,
): Alignment[] {
  const pdfAt = (t: number): number => arcPdf[path[t]!]!
  const beginsState = (t: number): boolean => t === 0 || pdfAt(t) !== pdfAt(t - 1)
  const beginsPhone = (t: number): boolean => {
    if (t === 0 || arcOutput[path[t]!] !== 0) return true
    // The states of a phone go upwards: a lower one is of the same phone, said again.
    return arcPhone[path[t]!] !== arcPhone[path[t - 1]!] || pdfAt(t) < pdfAt(t - 1)
  }
  const phoneAt = (t: number): string => phones[arcPhone[path[t]!]!] ?? ''
  const stateAt = (t: number): string => `${phoneAt(t)}.${(pdfAt(t) % statesPerPhone) + 1}`
  return [
    ...spans('phone', frames, beginsPhone, phoneAt),
    ...spans('state', frames, (t) => beginsState(t) || beginsPhone(t), stateAt),
  ]
}

function spans(
  level: Alignment['level'],
  frames: number,
  begins: (t: number) => boolean,
  labelAt: (t: number) => string,
): Alignment[] {
  const starts = Array.from({ length: frames }, (_, t) => t).filter(begins)
  return starts.map((start, index) => ({
    level,
    label: labelAt(start),
    from: secondsOf(start),
    to: secondsOf(starts[index + 1] ?? frames),
  }))
}

const secondsOf = (frame: number): number => (frame * FRAME_MS) / 1_000
