// A state-level lattice: the paths a decoder kept, one arc a frame, acoustic scores apart from graph
// scores so that a later network can rescore it.
import { assert } from '../../protocol/assert.ts'

/** States are sorted by time and arcs by source, so arrays are in topological order. */
export interface Lattice {
  readonly frames: number
  /** First state of each time; `frames + 2` entries. */
  readonly timeOffset: Int32Array
  /** First arc of each state; one entry more than states. */
  readonly arcOffset: Int32Array
  readonly arcTarget: Int32Array
  readonly arcPdf: Int32Array
  readonly arcPhone: Int32Array
  /** The word the frame belongs to; 0 = silence. */
  readonly arcWord: Int32Array
  /** Natural log: transitions, grammar, word bonus. */
  readonly arcGraphScore: Float64Array
  /** Unscaled score of the network that made or last rescored the lattice. */
  readonly arcAcousticScore: Float64Array
  /** Per state; -Infinity where a path may not end. */
  readonly finalScore: Float64Array
}

export class LatticeError extends Error {
  override readonly name = 'LatticeError'
}

export interface LatticeArc {
  readonly source: number
  readonly target: number
  readonly pdf: number
  readonly graphScore: number
  readonly phone?: number
  readonly word?: number
  readonly acousticScore?: number
}

/** From a list of arcs: for tests and foreign lattices. Throws where an arc does not take one frame. */
export function latticeFromArcs(options: {
  /** Time of each state, not descending. */
  readonly times: readonly number[]
  readonly arcs: readonly LatticeArc[]
  /** State -> final score. */
  readonly finals: ReadonlyMap<number, number>
}): Lattice {
  const { times, finals } = options
  const frames = Math.max(...times)
  const arcs = [...options.arcs].sort((a, b) => a.source - b.source)
  for (const { source, target } of arcs) {
    if (times[target] !== (times[source] ?? 0) + 1) {
      throw new LatticeError(`arc ${source} -> ${target} does not take exactly one frame`)
    }
  }
  if (times.some((time, state) => state > 0 && time < (times[state - 1] ?? 0))) {
    throw new LatticeError('states are not sorted by time')
  }
  const offsetOf = (list: readonly number[], entries: number): Int32Array =>
    Int32Array.from({ length: entries }, (_, key) => list.filter((value) => value < key).length)
  return {
    frames,
    timeOffset: offsetOf(times, frames + 2),
    arcOffset: offsetOf(
      arcs.map(({ source }) => source),
      times.length + 1,
    ),
    arcTarget: Int32Array.from(arcs, ({ target }) => target),
    arcPdf: Int32Array.from(arcs, ({ pdf }) => pdf),
    arcPhone: Int32Array.from(arcs, ({ phone }) => phone ?? 0),
    arcWord: Int32Array.from(arcs, ({ word }) => word ?? 0),
    arcGraphScore: Float64Array.from(arcs, ({ graphScore }) => graphScore),
    arcAcousticScore: Float64Array.from(arcs, ({ acousticScore }) => acousticScore ?? 0),
    finalScore: Float64Array.from(
      times,
      (_, state) => finals.get(state) ?? Number.NEGATIVE_INFINITY,
    ),
  }
}

/** Replaces the acoustic scores by those of another network on the same frames, in place. */
export function rescore(lattice: Lattice, scores: Float32Array | Float64Array, pdfs: number): void {
  assert(scores.length === lattice.frames * pdfs, 'scores cover exactly the frames of the lattice')
  const { timeOffset, arcOffset, arcPdf, arcAcousticScore } = lattice
  for (let t = 0; t < lattice.frames; t++) {
    const row = t * pdfs
    const end = arcOffset[timeOffset[t + 1]!]!
    for (let arc = arcOffset[timeOffset[t]!]!; arc < end; arc++) {
      arcAcousticScore[arc] = scores[row + arcPdf[arc]!]!
    }
  }
}

const parts = {
  timeOffset: Int32Array,
  arcOffset: Int32Array,
  arcTarget: Int32Array,
  arcPdf: Int32Array,
  arcPhone: Int32Array,
  arcWord: Int32Array,
  arcGraphScore: Float64Array,
  arcAcousticScore: Float64Array,
  finalScore: Float64Array,
} as const

type PartName = keyof typeof parts

/** As named bytes: how a lattice crosses the wire. */
export function packLattice(lattice: Lattice): Record<string, Uint8Array> {
  const entries = (Object.keys(parts) as PartName[]).map((name) => {
    const { buffer, byteOffset, byteLength } = lattice[name]
    return [name, new Uint8Array(buffer, byteOffset, byteLength)] as const
  })
  return Object.fromEntries(entries)
}

/** Copies, so that every array is aligned; throws `LatticeError` where the parts do not fit. */
export function unpackLattice(packed: Readonly<Record<string, Uint8Array>>): Lattice {
  const entries = Object.entries(parts).map(([name, Kind]) => {
    const bytes = packed[name]
    if (!bytes || bytes.byteLength % Kind.BYTES_PER_ELEMENT !== 0) {
      throw new LatticeError(`a packed lattice lacks a whole ${name}`)
    }
    return [name, new Kind(bytes.slice().buffer)] as const
  })
  const lattice = Object.fromEntries(entries) as unknown as Omit<Lattice, 'frames'>
  const arcs = lattice.arcTarget.length
  const states = lattice.finalScore.length
  const isWhole =
    lattice.arcOffset.length === states + 1 &&
    lattice.arcOffset.at(-1) === arcs &&
    lattice.timeOffset.at(-1) === states &&
    [lattice.arcPdf, lattice.arcPhone, lattice.arcWord, lattice.arcGraphScore].every(
      ({ length }) => length === arcs,
    ) &&
    lattice.arcAcousticScore.length === arcs &&
    lattice.arcTarget.every((target) => target >= 0 && target < states)
  if (!isWhole) throw new LatticeError('the parts of a packed lattice do not fit together')
  return { ...lattice, frames: lattice.timeOffset.length - 2 }
}
