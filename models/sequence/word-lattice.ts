// A state-level lattice as a person reads it: each word with its time and its posterior, summed over all
// paths that have it there. By sums of logs: it is made for one utterance at a time.
import { arcScores } from './forward-backward.ts'
import type { Lattice } from './lattice.ts'

export interface WordArc {
  /** 0 = silence. */
  readonly word: number
  /** First frame, and the one after the last. */
  readonly start: number
  readonly end: number
  /** Over all words that cover a frame these sum to 1. */
  readonly posterior: number
}

const NONE = Number.NEGATIVE_INFINITY

/** In order of their starts; nothing where no path is left. */
export function wordArcs(lattice: Lattice, acousticScale: number): readonly WordArc[] {
  const scores = arcScores(lattice, acousticScale)
  const backward = backwardOf(lattice, scores)
  const total = logSum(Array.from(backward.subarray(0, lattice.timeOffset[1]!)))
  if (!Number.isFinite(total)) return []
  /** Frame -> state -> paths to it, apart by whether a silence that may go on led there. */
  const ended = [new Map<number, Sides>()]
  for (let state = 0; state < lattice.timeOffset[1]!; state++) {
    ended[0]!.set(state, { silence: NONE, word: 0 })
  }
  const arcs: WordArc[] = []
  for (let start = 0; start < lattice.frames; start++) {
    for (const [word, entered] of entriesOf(lattice, scores, ended[start] ?? new Map())) {
      follow(lattice, scores, { word, start, entered }, (end, exits) => {
        const mass = logSum(
          exits.map(
            ({ state, score }) => score + leaving(lattice, scores, backward, state, word, end),
          ),
        )
        const posterior = Math.exp(mass - total)
        if (posterior > POSTERIOR_MIN) arcs.push({ word, start, end, posterior })
        for (const { state, score } of exits) arrive(ended, end, state, word, score)
      })
    }
  }
  return arcs
}

/** Below it nobody can see it. */
const POSTERIOR_MIN = 1e-4

interface Sides {
  silence: number
  word: number
}

function arrive(
  ended: Map<number, Sides>[],
  time: number,
  state: number,
  word: number,
  score: number,
): void {
  const states = (ended[time] ??= new Map())
  const sides = states.get(state) ?? { silence: NONE, word: NONE }
  states.set(state, sides)
  const side = word === 0 ? 'silence' : 'word'
  sides[side] = addLogs(sides[side], score)
}

/** Words that begin at the states of a time: word -> state after its first frame -> score. */
function entriesOf(
  { arcOffset, arcTarget, arcWord, arcOutput }: Lattice,
  scores: Float64Array,
  states: ReadonlyMap<number, Sides>,
): Map<number, Map<number, number>> {
  const entries = new Map<number, Map<number, number>>()
  for (const [state, { silence, word: afterWord }] of states) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const word = arcWord[arc]!
      // A silence goes on by itself; a word begins where it is output.
      const before =
        word === 0 ? afterWord : arcOutput[arc] === 0 ? NONE : addLogs(silence, afterWord)
      if (before === NONE) continue
      const targets = entries.get(word) ?? new Map<number, number>()
      entries.set(word, targets)
      const target = arcTarget[arc]!
      targets.set(target, addLogs(targets.get(target) ?? NONE, before + scores[arc]!))
    }
  }
  return entries
}

/** Goes on within a word, and tells at each time which of its states it may end in. */
function follow(
  lattice: Lattice,
  scores: Float64Array,
  { word, start, entered }: { word: number; start: number; entered: Map<number, number> },
  ends: (end: number, exits: readonly { state: number; score: number }[]) => void,
): void {
  const { frames, arcOffset, arcTarget } = lattice
  let now = entered
  for (let time = start + 1; now.size > 0; time++) {
    const exits = [...now].filter(([state]) => time === frames || canLeave(lattice, state, word))
    if (exits.length > 0)
      ends(
        time,
        exits.map(([state, score]) => ({ state, score })),
      )
    if (time === frames) return
    const later = new Map<number, number>()
    for (const [state, score] of now) {
      for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
        if (!goesOn(lattice, arc, word)) continue
        const target = arcTarget[arc]!
        later.set(target, addLogs(later.get(target) ?? NONE, score + scores[arc]!))
      }
    }
    now = later
  }
}

function goesOn({ arcWord, arcOutput }: Lattice, arc: number, word: number): boolean {
  return arcWord[arc] === word && arcOutput[arc] === 0
}

function canLeave(lattice: Lattice, state: number, word: number): boolean {
  const { arcOffset } = lattice
  for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
    if (!goesOn(lattice, arc, word)) return true
  }
  return false
}

/** Paths from a state to the end that begin by leaving the word. */
function leaving(
  lattice: Lattice,
  scores: Float64Array,
  backward: Float64Array,
  state: number,
  word: number,
  time: number,
): number {
  const { frames, arcOffset, arcTarget, finalScore } = lattice
  if (time === frames) return finalScore[state]!
  let sum = NONE
  for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
    if (!goesOn(lattice, arc, word)) sum = addLogs(sum, scores[arc]! + backward[arcTarget[arc]!]!)
  }
  return sum
}

function backwardOf(
  { frames, timeOffset, arcOffset, arcTarget, finalScore }: Lattice,
  scores: Float64Array,
): Float64Array {
  const last = timeOffset[frames]!
  const backward = finalScore.slice().fill(NONE, 0, last)
  for (let state = last - 1; state >= 0; state--) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      backward[state] = addLogs(backward[state]!, scores[arc]! + backward[arcTarget[arc]!]!)
    }
  }
  return backward
}

function logSum(values: readonly number[]): number {
  return values.reduce(addLogs, NONE)
}

/** log(exp(a) + exp(b)) */
function addLogs(a: number, b: number): number {
  const [larger, smaller] = a > b ? [a, b] : [b, a]
  if (smaller === NONE) return larger
  return larger + Math.log1p(Math.exp(smaller - larger))
}
