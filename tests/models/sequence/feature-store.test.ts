// A feature store gives back what was put in, spliced, and refuses a file that is not whole.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  encodeFeatureStore,
  type FeatureEntry,
  FeatureStoreError,
  openFeatureStore,
} from '../../../models/sequence/feature-store.ts'
import { splice } from '../../../models/sequence/feature-transforms.ts'
import { randomFor } from '../../../protocol/random.ts'

function entriesOf(seed: number, lengths: readonly number[], dims: number): FeatureEntry[] {
  const random = randomFor(seed, 'store')
  return lengths.map((frames, i) => ({
    id: `utterance ${i}`,
    speaker: `s${i % 2}`,
    words: i % 3 === 0 ? [] : ['eins', 'zwölf'],
    features: {
      rows: Float32Array.from({ length: frames * dims }, () => random.normal()),
      frames,
      dims,
    },
  }))
}

function fileOf(entries: readonly FeatureEntry[], dims: number, context: number): Uint8Array {
  return Buffer.concat([...encodeFeatureStore(entries, { dims, context })])
}

const shapes = fc.record({
  seed: fc.nat(),
  lengths: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 6 }),
  dims: fc.integer({ min: 1, max: 5 }),
  context: fc.nat(6),
})

describe('a feature store', () => {
  test('holds every utterance, and the spliced rows that splicing in memory makes', () => {
    fc.assert(
      fc.property(shapes, fc.nat(7), ({ seed, lengths, dims, context }, shift) => {
        const entries = entriesOf(seed, lengths, dims)
        const file = fileOf(entries, dims, context)
        // Any alignment of the bytes reads the same.
        const shifted = new Uint8Array(file.length + shift)
        shifted.set(file, shift)
        const store = openFeatureStore(shifted.subarray(shift))
        expect([store.dims, store.context]).toEqual([dims, context])
        const all: number[] = []
        let offset = 0
        for (const [i, { id, speaker, words, features }] of entries.entries()) {
          const utterance = store.utterances[i]!
          const { frames } = features
          expect(utterance).toEqual({ id, speaker, words, frames, offset })
          expect(store.rows(utterance)).toEqual(features.rows)
          const { rows, dims: width } = splice(features, { left: context, right: context })
          for (let t = 0; t < frames; t++) {
            expect(store.spliced(utterance, t)).toEqual(rows.subarray(t * width, (t + 1) * width))
          }
          all.push(...rows)
          offset += frames
        }
        expect(store.frameCount).toBe(offset)
        const numbers = Uint32Array.from({ length: offset }, (_, frame) => offset - 1 - frame)
        const width = (2 * context + 1) * dims
        const gathered = new Float32Array(offset * width)
        store.gatherFrames(numbers, gathered)
        for (const [i, frame] of numbers.entries()) {
          expect([...gathered.subarray(i * width, (i + 1) * width)]).toEqual(
            all.slice(frame * width, (frame + 1) * width),
          )
        }
      }),
      { numRuns: 60 },
    )
  })

  test('is a view of aligned bytes, not a copy', () => {
    const file = fileOf(entriesOf(1, [4, 3], 2), 2, 1)
    const bytes = new Uint8Array(file.length)
    bytes.set(file)
    const store = openFeatureStore(bytes)
    expect(store.spliced(store.utterances[1]!, 2).buffer).toBe(bytes.buffer)
  })

  test('comes in one chunk an utterance, made when it is asked for', () => {
    let made = 0
    const source = function* (): Generator<FeatureEntry> {
      for (const entry of entriesOf(1, [4, 3, 2], 2)) {
        made += 1
        yield entry
      }
    }
    const chunks = encodeFeatureStore(source(), { dims: 2, context: 1 })
    const sizes: number[] = []
    for (const _ of chunks) sizes.push(made)
    expect(sizes).toEqual([0, 1, 2, 3, 3])
  })

  test('frames outside an utterance or the store, and targets of another size, are bugs', () => {
    const store = openFeatureStore(fileOf(entriesOf(1, [4, 3], 2), 2, 1))
    const first = store.utterances[0]!
    expect(() => store.spliced(first, 4)).toThrow('within its utterance')
    expect(() => store.gatherFrames(Uint32Array.of(7), new Float32Array(6))).toThrow('frame count')
    expect(() => store.gatherFrames(Uint32Array.of(1), new Float32Array(7))).toThrow('exactly')
  })

  test('cut short anywhere, or damaged, is refused by name or read within its bounds', () => {
    const file = fileOf(entriesOf(1, [3, 2], 2), 2, 1)
    for (let length = 0; length < file.length; length++) {
      expect(() => openFeatureStore(file.subarray(0, length), 'x')).toThrow(FeatureStoreError)
      expect(() => openFeatureStore(file.subarray(0, length), 'x')).toThrow(/^x: .*make it again$/)
    }
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, value) => {
        const bytes = new Uint8Array(file)
        bytes[at] = value
        try {
          const store = openFeatureStore(bytes)
          for (const utterance of store.utterances) store.spliced(utterance, utterance.frames - 1)
        } catch (error) {
          if (!(error instanceof FeatureStoreError)) throw error
        }
      }),
      { numRuns: 500 },
    )
  })
})
