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
  /** The word it outputs, on the arc that enters one; 0 = none. */
  readonly arcOutput: Int32Array
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
  readonly output?: number
  readonly acousticScore?: number
}

/** From a list of arcs: for tests and foreign lattices. Throws `LatticeError` as `checkLattice` does. */
export function latticeFromArcs(options: {
  /** Time of each state, not descending, from 0. */
  readonly times: readonly number[]
  readonly arcs: readonly LatticeArc[]
  /** State -> final score. */
  readonly finals: ReadonlyMap<number, number>
}): Lattice {
  const { times, finals } = options
  const arcs = [...options.arcs].sort((a, b) => a.source - b.source)
  for (const { source, target } of arcs) {
    if (times[target] !== (times[source] ?? Number.NaN) + 1) {
      throw new LatticeError(`arc ${source} -> ${target} does not take exactly one frame`)
    }
  }
  if (times.some((time, state) => state > 0 && time < (times[state - 1] ?? 0))) {
    throw new LatticeError('states are not sorted by time')
  }
  const frames = times.at(-1) ?? 0
  const lattice = {
    frames,
    timeOffset: offsetsOf(times, frames + 1),
    arcOffset: offsetsOf(
      arcs.map(({ source }) => source),
      times.length,
    ),
    arcTarget: Int32Array.from(arcs, ({ target }) => target),
    arcPdf: Int32Array.from(arcs, ({ pdf }) => pdf),
    arcPhone: Int32Array.from(arcs, ({ phone }) => phone ?? 0),
    arcWord: Int32Array.from(arcs, ({ word }) => word ?? 0),
    arcOutput: Int32Array.from(arcs, ({ output }) => output ?? 0),
    arcGraphScore: Float64Array.from(arcs, ({ graphScore }) => graphScore),
    arcAcousticScore: Float64Array.from(arcs, ({ acousticScore }) => acousticScore ?? 0),
    finalScore: Float64Array.from(
      times,
      (_, state) => finals.get(state) ?? Number.NEGATIVE_INFINITY,
    ),
  }
  checkLattice(lattice)
  return lattice
}

/** Where each of `count` keys begins in a sorted list of keys, and the end. */
function offsetsOf(keys: readonly number[], count: number): Int32Array {
  const offsets = new Int32Array(count + 1)
  for (const key of keys) offsets[key + 1]! += 1
  for (let key = 0; key < count; key++) offsets[key + 1]! += offsets[key]!
  return offsets
}

/**
 * Throws `LatticeError` unless the arrays fit together, every time has a state, and every arc leads
 * from a state of one time to a state of the next: then every complete path takes exactly `frames`.
 */
export function checkLattice(lattice: Lattice): void {
  const { frames, timeOffset, arcOffset, arcTarget, arcPdf, finalScore } = lattice
  const isWhole =
    timeOffset.length === frames + 2 &&
    arcOffset.length === finalScore.length + 1 &&
    perArc.every((name) => lattice[name].length === arcTarget.length)
  if (!isWhole) throw new LatticeError('the arrays of a lattice do not fit together')
  if (!ascends(timeOffset, finalScore.length, 1)) {
    throw new LatticeError('a time of a lattice has no state, or its states are not sorted by time')
  }
  if (!ascends(arcOffset, arcTarget.length, 0)) {
    throw new LatticeError('the arcs of a lattice are not sorted by source')
  }
  for (let t = 0; t <= frames; t++) {
    const [next, beyond] = [timeOffset[t + 1]!, timeOffset[t + 2] ?? 0]
    for (let arc = arcOffset[timeOffset[t]!]!; arc < arcOffset[next]!; arc++) {
      if (arcTarget[arc]! < next || arcTarget[arc]! >= beyond) {
        throw new LatticeError(`arc ${arc} of frame ${t} does not take exactly one frame`)
      }
      if (arcPdf[arc]! < 0) throw new LatticeError(`arc ${arc} of frame ${t} has no pdf`)
    }
  }
}

/** From 0 to `last` in steps of at least `step`. */
function ascends(offsets: Int32Array, last: number, step: number): boolean {
  return (
    offsets[0] === 0 &&
    offsets.at(-1) === last &&
    offsets.every((offset, i) => i === 0 || offset >= offsets[i - 1]! + step)
  )
}

/** Replaces the acoustic scores by those of another network on the same frames, in place. */
export function rescore(lattice: Lattice, scores: Float32Array | Float64Array, pdfs: number): void {
  assert(scores.length === lattice.frames * pdfs, 'scores cover exactly the frames of the lattice')
  const { timeOffset, arcOffset, arcPdf, arcAcousticScore } = lattice
  for (let t = 0; t < lattice.frames; t++) {
    const row = t * pdfs
    const end = arcOffset[timeOffset[t + 1]!]!
    for (let arc = arcOffset[timeOffset[t]!]!; arc < end; arc++) {
      const pdf = arcPdf[arc]!
      // Else it would be scored with a later frame.
      assert(pdf < pdfs, 'the network has every pdf of the lattice')
      arcAcousticScore[arc] = scores[row + pdf]!
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
  arcOutput: Int32Array,
  arcGraphScore: Float64Array,
  arcAcousticScore: Float64Array,
  finalScore: Float64Array,
} as const

type PartName = keyof typeof parts

const perArc: readonly PartName[] = [
  'arcPdf',
  'arcPhone',
  'arcWord',
  'arcOutput',
  'arcGraphScore',
  'arcAcousticScore',
]

/** As named bytes: how a lattice crosses the wire. */
export function packLattice(lattice: Lattice): Record<string, Uint8Array> {
  const entries = (Object.keys(parts) as PartName[]).map((name) => {
    const { buffer, byteOffset, byteLength } = lattice[name]
    return [name, new Uint8Array(buffer, byteOffset, byteLength)] as const
  })
  return Object.fromEntries(entries)
}

/** Copies, so that every array is aligned; throws `LatticeError` where the parts make no lattice. */
export function unpackLattice(packed: Readonly<Record<string, Uint8Array>>): Lattice {
  const entries = Object.entries(parts).map(([name, Kind]) => {
    const bytes = packed[name]
    if (!bytes || bytes.byteLength % Kind.BYTES_PER_ELEMENT !== 0) {
      throw new LatticeError(`a packed lattice lacks a whole ${name}`)
    }
    return [name, new Kind(bytes.slice().buffer)] as const
  })
  const arrays = Object.fromEntries(entries) as unknown as Omit<Lattice, 'frames'>
  const lattice = { ...arrays, frames: arrays.timeOffset.length - 2 }
  checkLattice(lattice)
  return lattice
}
