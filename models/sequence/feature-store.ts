// One file with the features of a corpus, laid out so that a memory map of it is all a trainer
// needs: the spliced input of any frame is a contiguous slice. Written in one pass, so its index
// stands at the end.
//
//   'troupe features 1\n' and zeros to 64 bytes
//   per utterance: context copies of its first row, its rows, context copies of its last (float32)
//   the index as JSON, then its length as uint32
// Numbers are little-endian.
import { assert } from '../../protocol/assert.ts'
import { alignedFloat32, bytesOf } from '../../protocol/tensor.ts'
import type { Features } from './features.ts'

export interface StoredUtterance {
  readonly id: string
  readonly speaker: string
  readonly words: readonly string[]
  readonly frames: number
  /**
   * Global number of its first frame: frames of all utterances are numbered one after the other.
   */
  readonly offset: number
}

export interface FeatureStore {
  /** Values of one frame, unspliced. */
  readonly dims: number
  /** Frames repeated and spliced on each side. */
  readonly context: number
  readonly frameCount: number
  readonly utterances: readonly StoredUtterance[]
  /** Rows t - context to t + context of an utterance, side by side: a view, never written to. */
  spliced(utterance: StoredUtterance, t: number): Float32Array
  /** Frames 0 to T - 1 of an utterance, unspliced: a view. */
  rows(utterance: StoredUtterance): Float32Array
  /** Copies the spliced rows of globally numbered frames, one after the other. */
  gatherFrames(frames: Uint32Array, into: Float32Array): void
}

export interface FeatureEntry {
  readonly id: string
  readonly speaker: string
  readonly words: readonly string[]
  /** Already normalised. */
  readonly features: Features
}

/** The file is not a whole feature store; it is made again from the corpus. */
export class FeatureStoreError extends Error {
  override readonly name = 'FeatureStoreError'
}

export interface StoreShape {
  readonly dims: number
  readonly context: number
}

/** Pieces of the file, to be written one after the other: `open`, each utterance, `close`. */
export interface FeatureStoreEncoder {
  open(): Uint8Array
  /** An utterance without frames has no rows to repeat: it is an error of the caller. */
  add(entry: FeatureEntry): Uint8Array
  close(): Uint8Array
}

export function featureStoreEncoder({ dims, context }: StoreShape): FeatureStoreEncoder {
  const utterances: Omit<StoredUtterance, 'offset'>[] = []
  return {
    open() {
      const start = new Uint8Array(HEAD_BYTES)
      start.set(encoder.encode(MAGIC))
      return start
    },
    add({ id, speaker, words, features }) {
      const { rows, frames } = features
      assert(features.dims === dims, 'features have the dimension of their store')
      assert(frames > 0, `utterance ${id} has frames`)
      utterances.push({ id, speaker, words, frames })
      const padded = new Float32Array((frames + 2 * context) * dims)
      padded.set(rows, context * dims)
      for (let i = 0; i < context; i++) {
        padded.set(rows.subarray(0, dims), i * dims)
        padded.set(rows.subarray((frames - 1) * dims), (context + frames + i) * dims)
      }
      return bytesOf(padded)
    },
    close() {
      const index = encoder.encode(JSON.stringify({ dims, context, utterances }))
      const bytes = new Uint8Array(index.length + 4)
      bytes.set(index)
      new DataView(bytes.buffer).setUint32(index.length, index.length, true)
      return bytes
    },
  }
}

/** Chunks of the file as they are made: only one utterance is in memory. */
export function* encodeFeatureStore(
  entries: Iterable<FeatureEntry>,
  shape: StoreShape,
): Generator<Uint8Array, void> {
  const store = featureStoreEncoder(shape)
  yield store.open()
  for (const entry of entries) yield store.add(entry)
  yield store.close()
}

/** Copies nothing where the bytes are 4-byte aligned, as those of a mapped file are. */
export function openFeatureStore(bytes: Uint8Array, name = 'feature store'): FeatureStore {
  const { index, rowBytes } = readIndex(bytes, name)
  const { dims, context } = index
  const width = (2 * context + 1) * dims
  let frameCount = 0
  const utterances = index.utterances.map((utterance): StoredUtterance => {
    const offset = frameCount
    frameCount += utterance.frames
    return { ...utterance, offset }
  })
  if (rowBytes !== (frameCount + 2 * context * utterances.length) * dims * 4) {
    throw new FeatureStoreError(`${name}: rows and index disagree; make it again`)
  }
  const values = alignedFloat32(bytes.subarray(HEAD_BYTES, HEAD_BYTES + rowBytes))
  // First value of the spliced row of each frame, as a row number: rows overlap within an
  // utterance.
  const firstRow = new Uint32Array(frameCount)
  utterances.forEach(({ offset, frames }, i) => {
    const padding = 2 * context * i
    for (let frame = offset; frame < offset + frames; frame++) firstRow[frame] = frame + padding
  })
  return {
    dims,
    context,
    frameCount,
    utterances,
    spliced({ offset, frames }, t) {
      assert(t >= 0 && t < frames, 'a frame lies within its utterance')
      const start = firstRow[offset + t]! * dims
      return values.subarray(start, start + width)
    },
    rows({ offset, frames }) {
      const start = (firstRow[offset]! + context) * dims
      return values.subarray(start, start + frames * dims)
    },
    gatherFrames(frames, into) {
      assert(into.length === frames.length * width, 'the target holds exactly the spliced frames')
      for (let i = 0; i < frames.length; i++) {
        const frame = frames[i]!
        assert(frame < frameCount, 'a frame number is below the frame count')
        const start = firstRow[frame]! * dims
        into.set(values.subarray(start, start + width), i * width)
      }
    },
  }
}

const MAGIC = 'troupe features 1\n'
const HEAD_BYTES = 64
const encoder = new TextEncoder()

interface StoreIndex extends StoreShape {
  readonly utterances: readonly Omit<StoredUtterance, 'offset'>[]
}

function readIndex(bytes: Uint8Array, name: string): { index: StoreIndex; rowBytes: number } {
  const refuse = (what: string): never => {
    throw new FeatureStoreError(`${name}: ${what}; make it again`)
  }
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[i] !== MAGIC.charCodeAt(i)) return refuse('not a feature store of this version')
  }
  if (bytes.length < HEAD_BYTES + 4) return refuse('cut short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = bytes.length - 4
  const start = end - view.getUint32(end, true)
  if (start < HEAD_BYTES) return refuse('cut short')
  const index = parseIndex(bytes.subarray(start, end))
  return index ? { index, rowBytes: start - HEAD_BYTES } : refuse('its index is damaged or cut off')
}

function parseIndex(bytes: Uint8Array): StoreIndex | undefined {
  let index: unknown
  try {
    index = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined
    throw error
  }
  return isIndex(index) ? index : undefined
}

function isIndex(value: unknown): value is StoreIndex {
  const { dims, context, utterances } = (value ?? {}) as Partial<Record<keyof StoreIndex, unknown>>
  if (!isCount(dims) || dims === 0 || !isCount(context) || !Array.isArray(utterances)) return false
  return utterances.every((utterance: unknown) => {
    const { id, speaker, words, frames } = (utterance ?? {}) as Record<string, unknown>
    const isNamed = typeof id === 'string' && typeof speaker === 'string' && Array.isArray(words)
    return isNamed && isCount(frames) && frames > 0
  })
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
