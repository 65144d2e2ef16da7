// A state-level lattice as people read it: an arc a word, or a pause between words, from time to time. Its
// arcs stand for all ways through the word between the same two states.
import { addLogs, arcScores } from './forward-backward.ts'
import type { Lattice } from './lattice.ts'

export interface WordLattice {
  /** Frame that each state lies before, not descending; the first is the start, the last the end. */
  readonly times: readonly number[]
  /** Sorted by the time they begin at. */
  readonly arcs: readonly WordArc[]
  /** The best path, as indexes of arcs. */
  readonly best: readonly number[]
}

export interface WordArc {
  readonly from: number
  readonly to: number
  /** 0: silence. */
  readonly word: number
  /** Those of the arcs over any frame sum to 1. */
  readonly posterior: number
  /** Of the best way through it. */
  readonly score: number
}

/** What a state means to words: where it lies in the lattice, and the word that ends there. */
interface Node {
  readonly state: number
  readonly word: number
  readonly time: number
}

/** Logs of the sum over the ways, and of the best of them. */
interface Ways {
  sum: number
  best: number
}

interface Segment extends Ways {
  readonly from: Node
  readonly to: Node
  readonly word: number
}

const NONE = Number.NEGATIVE_INFINITY

/**
 * The `arcsMax` arcs with the best paths through them (all of the best path, were it longer), and their
 * posteriors among each other. Nothing where the lattice has more than `segmentsMax` before.
 */
export function wordLattice(
  lattice: Lattice,
  acousticScale: number,
  { arcsMax, segmentsMax }: { readonly arcsMax: number; readonly segmentsMax: number },
): WordLattice | undefined {
  const segments = segmentsOf(lattice, arcScores(lattice, acousticScale), segmentsMax)
  if (!segments) return undefined
  const { path, total, through } = bestThrough(segments)
  if (!Number.isFinite(total)) return undefined
  const isBest = new Set(path)
  const ranked = segments
    .filter((segment) => !isBest.has(segment))
    .sort((a, b) => (through.get(b) ?? NONE) - (through.get(a) ?? NONE))
  const kept = new Set([...path, ...ranked.slice(0, Math.max(0, arcsMax - path.length))])
  return described(
    segments.filter((segment) => kept.has(segment)),
    path,
  )
}

/** Every way from a border of words to the next one, sorted by where it begins. */
function segmentsOf(
  lattice: Lattice,
  scores: Float64Array,
  segmentsMax: number,
): Segment[] | undefined {
  const { frames, arcOffset, arcTarget, arcWord, arcOutput, finalScore } = lattice
  const end: Node = { state: -1, word: -1, time: frames }
  const nodes = new Map<string, Node>()
  const waiting: Node[][] = Array.from({ length: frames + 1 }, () => [])
  const segments: Segment[] = []

  const nodeAt = (state: number, word: number, time: number): Node => {
    const key = `${state} ${word}`
    const known = nodes.get(key)
    if (known) return known
    const node = { state, word, time }
    nodes.set(key, node)
    waiting[time]?.push(node)
    return node
  }
  const isBorder = (arc: number, word: number): boolean =>
    arcOutput[arc] !== 0 || arcWord[arc] !== word

  function follow(from: Node, word: number, begun: Map<number, Ways>): void {
    const finished: Ways = { sum: NONE, best: NONE }
    let active = begun
    for (let time = from.time + 1; active.size > 0; time++) {
      const next = new Map<number, Ways>()
      for (const [state, ways] of active) {
        if (time === frames) {
          join(finished, ways, finalScore[state]!)
          continue
        }
        let ends = false
        for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
          if (isBorder(arc, word)) ends = true
          else join(waysTo(next, arcTarget[arc]!), ways, scores[arc]!)
        }
        if (ends) segments.push({ from, to: nodeAt(state, word, time), word, ...ways })
      }
      active = next
    }
    if (finished.best > NONE) segments.push({ from, to: end, word, ...finished })
  }

  nodeAt(0, -1, 0)
  for (const nodesNow of waiting) {
    for (const node of nodesNow) {
      if (segments.length > segmentsMax) return undefined
      for (const [word, begun] of beginnings(node)) follow(node, word, begun)
    }
  }
  return segments

  function beginnings({ state, word }: Node): Map<number, Map<number, Ways>> {
    const byWord = new Map<number, Map<number, Ways>>()
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      if (!isBorder(arc, word)) continue
      const entered = arcWord[arc]!
      const begun = byWord.get(entered) ?? new Map<number, Ways>()
      byWord.set(entered, begun)
      join(waysTo(begun, arcTarget[arc]!), { sum: 0, best: 0 }, scores[arc]!)
    }
    return byWord
  }
}

function waysTo(ways: Map<number, Ways>, state: number): Ways {
  const known = ways.get(state) ?? { sum: NONE, best: NONE }
  ways.set(state, known)
  return known
}

function join(into: Ways, from: Readonly<Ways>, score: number): void {
  into.sum = addLogs(into.sum, from.sum + score)
  into.best = Math.max(into.best, from.best + score)
}

/** Of each segment, the score of the best path that has it. */
function bestThrough(segments: readonly Segment[]) {
  const forward = new Map<Node, number>()
  const entered = new Map<Node, Segment>()
  for (const segment of segments) {
    const before = segment.from.time === 0 ? 0 : (forward.get(segment.from) ?? NONE)
    if (before + segment.best <= (forward.get(segment.to) ?? NONE)) continue
    forward.set(segment.to, before + segment.best)
    entered.set(segment.to, segment)
  }
  const end = segments.find(({ to }) => to.state < 0)?.to
  const backward = new Map<Node, number>(end ? [[end, 0]] : [])
  const through = new Map<Segment, number>()
  for (const segment of segments.toReversed()) {
    const { from, to, best } = segment
    const after = best + (backward.get(to) ?? NONE)
    backward.set(from, Math.max(backward.get(from) ?? NONE, after))
    through.set(segment, after + (from.time === 0 ? 0 : (forward.get(from) ?? NONE)))
  }
  const path: Segment[] = []
  for (let last = end && entered.get(end); last; last = entered.get(last.from)) path.unshift(last)
  return { path, through, total: (end && forward.get(end)) ?? NONE }
}

/** Numbered states and posteriors; what no complete path has is left out. */
function described(segments: readonly Segment[], path: readonly Segment[]): WordLattice {
  const posteriors = posteriorsOf(segments)
  const alive = segments.filter((segment) => (posteriors.get(segment) ?? 0) > 0)
  const nodes = [...new Set(alive.flatMap(({ from, to }) => [from, to]))]
  nodes.sort((a, b) => a.time - b.time)
  const numbers = new Map(nodes.map((node, index) => [node, index]))
  const places = new Map(alive.map((segment, index) => [segment, index]))
  return {
    times: nodes.map(({ time }) => time),
    arcs: alive.map((segment) => ({
      from: numbers.get(segment.from) ?? 0,
      to: numbers.get(segment.to) ?? 0,
      word: segment.word,
      posterior: posteriors.get(segment) ?? 0,
      score: segment.best,
    })),
    best: path.map((segment) => places.get(segment) ?? 0),
  }
}

/** Forward and backward as sums of logs: these lattices are small. */
function posteriorsOf(segments: readonly Segment[]): ReadonlyMap<Segment, number> {
  const alpha = new Map<Node, number>()
  const beta = new Map<Node, number>()
  const of = (sums: Map<Node, number>, node: Node): number => sums.get(node) ?? NONE
  for (const { from, to } of segments) {
    if (from.time === 0) alpha.set(from, 0)
    if (to.state < 0) beta.set(to, 0)
  }
  for (const { from, to, sum } of segments)
    alpha.set(to, addLogs(of(alpha, to), of(alpha, from) + sum))
  for (const { from, to, sum } of segments.toReversed()) {
    beta.set(from, addLogs(of(beta, from), of(beta, to) + sum))
  }
  const end = segments.find(({ to }) => to.state < 0)?.to
  const total = end ? of(alpha, end) : NONE
  return new Map(
    segments.map((segment) => {
      const { from, to, sum } = segment
      return [segment, Math.exp(of(alpha, from) + sum + of(beta, to) - total)]
    }),
  )
}

/** The arc of each frame on the best path of a lattice. */
export function bestArcs(lattice: Lattice, acousticScale: number): Int32Array {
  const { frames, timeOffset, arcOffset, arcTarget, finalScore } = lattice
  const scores = arcScores(lattice, acousticScale)
  const backward = finalScore.slice().fill(NONE, 0, timeOffset[frames])
  const chosen = new Int32Array(finalScore.length).fill(-1)
  for (let state = timeOffset[frames]! - 1; state >= 0; state--) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const score = scores[arc]! + backward[arcTarget[arc]!]!
      if (score <= backward[state]!) continue
      backward[state] = score
      chosen[state] = arc
    }
  }
  const path = new Int32Array(frames)
  let state = 0
  for (let t = 0; t < frames; t++) {
    path[t] = chosen[state]!
    state = arcTarget[path[t]!]!
  }
  return path
}
