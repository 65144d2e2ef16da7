// Time-synchronous Viterbi beam search over a decoding graph: the best words, or a lattice of all paths
// near the best. Scratch memory belongs to the decoder, so one serves a whole corpus.
import { assert } from '../../protocol/assert.ts'
import { arcSources } from './alignment.ts'
import type { DecodingGraph } from './decoding-graph.ts'
import type { Lattice } from './lattice.ts'

export interface DecodeOptions {
  /** Multiplies the network's scores; finite. */
  readonly acousticScale: number
  /** States further than this below the best of their frame are dropped; natural log, positive. */
  readonly beam: number
  /** Of the states of a frame so many go on, the best ones (more where the last are equal); 1 or more. */
  readonly maxActive?: number
}

export interface LatticeOptions extends DecodeOptions {
  /** Arcs whose best path is further than this below the best path are dropped; 0 or more. */
  readonly latticeBeam: number
}

export interface DecodedWord {
  readonly word: number
  /** In frames; `end` is exclusive. */
  readonly start: number
  readonly end: number
}

export interface DecodedPath {
  readonly words: readonly DecodedWord[]
  /** Natural log: graph, scaled acoustic and final scores of the whole path. */
  readonly score: number
}

/**
 * `scores`: T x pdfs. Nothing comes back where no path reaches a final state within the beam, or its
 * score is not finite. With infinite beams the search is exact and the lattice is the whole trellis.
 */
export interface Decoder {
  bestPath(scores: Float32Array, options: DecodeOptions): DecodedPath | undefined
  /** The words of the best path. */
  decode(scores: Float32Array, options: DecodeOptions): readonly DecodedWord[] | undefined
  makeLattice(scores: Float32Array, options: LatticeOptions): Lattice | undefined
}

const NONE = Number.NEGATIVE_INFINITY

export function decoder(graph: DecodingGraph, pdfs: number): Decoder {
  const { stateCount, arcOffset, arcTarget, arcPdf, arcScore, finalScore } = graph
  assert(
    arcPdf.every((pdf) => pdf >= 0 && pdf < pdfs),
    'the network has every pdf of the graph',
  )
  const sources = arcSources(graph)
  const active = new Float64Array(stateCount)
  let forward = new Float64Array(0)
  let pointers = new Int32Array(0)
  // Lattices need these too; a decoder that only decodes never has them.
  let backward = new Float64Array(0)
  let numbers = new Int32Array(0)

  const reserve = (frames: number): void => {
    const cells = (frames + 1) * stateCount
    if (forward.length >= cells) return
    forward = new Float64Array(cells)
    pointers = new Int32Array(cells)
  }

  const reserveForLattice = (): void => {
    if (backward.length >= forward.length) return
    backward = new Float64Array(forward.length)
    numbers = new Int32Array(forward.length)
  }

  function framesOf(scores: Float32Array): number {
    assert(scores.length % pdfs === 0, 'scores are whole frames')
    return scores.length / pdfs
  }

  /** Fills `forward` and `pointers`; the score of the best complete path. */
  function search(
    scores: Float32Array,
    frames: number,
    { acousticScale, beam, maxActive = stateCount }: DecodeOptions,
  ): number {
    // Each of these would switch the pruning off, or prune everything, without a word.
    assert(Number.isFinite(acousticScale), `acousticScale ${acousticScale} is a finite number`)
    assert(beam > 0, `beam ${beam} is positive`)
    assert(Number.isInteger(maxActive) && maxActive >= 1, `maxActive ${maxActive} is 1 or more`)
    reserve(frames)
    forward.fill(NONE, 0, (frames + 1) * stateCount)
    forward[graph.start] = 0
    let best = 0
    for (let t = 0; t < frames; t++) {
      const here = t * stateCount
      const there = here + stateCount
      const row = t * pdfs
      const threshold = Math.max(best - beam, thresholdOf(here, best - beam, maxActive))
      best = NONE
      for (let state = 0; state < stateCount; state++) {
        const score = forward[here + state]!
        if (score < threshold || score === NONE) {
          forward[here + state] = NONE
          continue
        }
        const end = arcOffset[state + 1]!
        for (let arc = arcOffset[state]!; arc < end; arc++) {
          const cell = there + arcTarget[arc]!
          const reached = score + arcScore[arc]! + acousticScale * scores[row + arcPdf[arc]!]!
          if (reached > forward[cell]!) {
            forward[cell] = reached
            pointers[cell] = arc
            if (reached > best) best = reached
          }
        }
      }
    }
    let total = NONE
    const last = frames * stateCount
    for (let state = 0; state < stateCount; state++) {
      total = Math.max(total, forward[last + state]! + finalScore[state]!)
    }
    return total
  }

  /** The score of the last of the `maxActive` best states that are above the beam. */
  function thresholdOf(here: number, floor: number, maxActive: number): number {
    if (maxActive >= stateCount) return NONE
    let count = 0
    for (let state = 0; state < stateCount; state++) {
      const score = forward[here + state]!
      if (score >= floor && score !== NONE) active[count++] = score
    }
    return count <= maxActive ? NONE : selectLargest(active, count, maxActive)
  }

  function bestPath(scores: Float32Array, options: DecodeOptions): DecodedPath | undefined {
    const frames = framesOf(scores)
    const total = search(scores, frames, options)
    if (!Number.isFinite(total)) return undefined
    const last = frames * stateCount
    let state = 0
    while (forward[last + state]! + finalScore[state]! !== total) state += 1
    const words: DecodedWord[] = []
    let end = frames
    let inside = 0
    for (let t = frames; t > 0; t--) {
      const arc = pointers[t * stateCount + state]!
      const word = graph.arcWord[arc]!
      if (word !== inside) {
        end = t
        inside = word
      }
      if (graph.arcOutput[arc]) {
        words.push({ word, start: t - 1, end })
        // The same word may end right before it: its last frame is this one's first.
        inside = 0
      }
      state = sources[arc]!
    }
    return { words: words.reverse(), score: total }
  }

  return {
    bestPath,
    decode: (scores, options) => bestPath(scores, options)?.words,
    makeLattice(scores, options) {
      const { acousticScale, latticeBeam } = options
      assert(latticeBeam >= 0, `latticeBeam ${latticeBeam} is 0 or more`)
      const frames = framesOf(scores)
      const total = search(scores, frames, options)
      if (!Number.isFinite(total)) return undefined
      reserveForLattice()
      // The slack keeps the best path whole where rounding differs between the two passes. Finite even
      // without a beam, or states that no path reaches would pass it.
      const floor = Math.max(total - latticeBeam - 1e-6, -Number.MAX_VALUE)
      backward.fill(NONE, 0, (frames + 1) * stateCount)
      const last = frames * stateCount
      for (let state = 0; state < stateCount; state++) {
        if (forward[last + state]! + finalScore[state]! >= floor)
          backward[last + state] = finalScore[state]!
      }
      let arcs = 0
      for (let t = frames - 1; t >= 0; t--) {
        const here = t * stateCount
        const there = here + stateCount
        const row = t * pdfs
        for (let state = 0; state < stateCount; state++) {
          const score = forward[here + state]!
          if (score === NONE) continue
          let best = NONE
          const end = arcOffset[state + 1]!
          for (let arc = arcOffset[state]!; arc < end; arc++) {
            const later = backward[there + arcTarget[arc]!]!
            if (later === NONE) continue
            const reached = later + arcScore[arc]! + acousticScale * scores[row + arcPdf[arc]!]!
            if (score + reached < floor) continue
            arcs += 1
            if (reached > best) best = reached
          }
          backward[here + state] = best
        }
      }
      return collect(scores, frames, { ...options, floor, arcs })
    },
  }

  /** The arcs on paths above the floor, in time order. `arcs` bounds their number. */
  function collect(
    scores: Float32Array,
    frames: number,
    { acousticScale, floor, arcs }: LatticeOptions & { floor: number; arcs: number },
  ): Lattice {
    const timeOffset = new Int32Array(frames + 2)
    let states = 0
    for (let t = 0; t <= frames; t++) {
      timeOffset[t] = states
      for (let state = 0; state < stateCount; state++) {
        const cell = t * stateCount + state
        if (forward[cell]! + backward[cell]! >= floor) {
          numbers[cell] = states
          states += 1
        } else backward[cell] = NONE
      }
    }
    timeOffset[frames + 1] = states
    const arcStart = new Int32Array(states + 1)
    const target = new Int32Array(arcs)
    const graphArc = new Int32Array(arcs)
    const acoustic = new Float64Array(arcs)
    let at = 0
    for (let t = 0; t < frames; t++) {
      const here = t * stateCount
      const there = here + stateCount
      const row = t * pdfs
      for (let state = 0; state < stateCount; state++) {
        if (backward[here + state]! === NONE) continue
        arcStart[numbers[here + state]!] = at
        const score = forward[here + state]!
        const end = arcOffset[state + 1]!
        for (let arc = arcOffset[state]!; arc < end; arc++) {
          const later = backward[there + arcTarget[arc]!]!
          if (later === NONE) continue
          const own = scores[row + arcPdf[arc]!]!
          if (score + (later + arcScore[arc]! + acousticScale * own) < floor) continue
          target[at] = numbers[there + arcTarget[arc]!]!
          graphArc[at] = arc
          acoustic[at] = own
          at += 1
        }
      }
    }
    arcStart.fill(at, timeOffset[frames]!)
    const kept = graphArc.subarray(0, at)
    const final = new Float64Array(states).fill(NONE)
    for (let state = 0; state < stateCount; state++) {
      const cell = frames * stateCount + state
      if (backward[cell]! !== NONE) final[numbers[cell]!] = finalScore[state]!
    }
    return {
      frames,
      timeOffset,
      arcOffset: arcStart,
      arcTarget: target.slice(0, at),
      arcPdf: kept.map((arc) => arcPdf[arc]!),
      arcPhone: kept.map((arc) => graph.arcPhone[arc]!),
      arcWord: kept.map((arc) => graph.arcWord[arc]!),
      arcOutput: kept.map((arc) => graph.arcOutput[arc]!),
      arcGraphScore: Float64Array.from(kept, (arc) => arcScore[arc]!),
      arcAcousticScore: acoustic.slice(0, at),
      finalScore: final,
    }
  }
}

/** The n-th largest of the first `count` values (Hoare's selection); reorders them. */
function selectLargest(values: Float64Array, count: number, n: number): number {
  let [low, high] = [0, count - 1]
  while (low < high) {
    const pivot = values[(low + high) >> 1]!
    let [left, right] = [low, high]
    while (left <= right) {
      while (values[left]! > pivot) left += 1
      while (values[right]! < pivot) right -= 1
      if (left > right) break
      const kept = values[left]!
      values[left++] = values[right]!
      values[right--] = kept
    }
    if (n - 1 <= right) high = right
    else if (n - 1 >= left) low = left
    else break
  }
  return values[n - 1]!
}
