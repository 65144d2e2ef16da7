import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from '../../models/safetensors.ts'
import {
  bytesPerElement,
  type DType,
  elementCount,
  float32View,
  type Tensor,
  tensorOf,
} from '../../protocol/tensor.ts'

const SEED = 23

const tensor: fc.Arbitrary<Tensor> = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(bytesPerElement) as DType[])),
    shape: fc.array(fc.nat(3), { maxLength: 3 }),
  })
  .chain(({ dtype, shape }) => {
    const length = elementCount(shape) * bytesPerElement[dtype]
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes) => ({ dtype, shape, bytes: new Uint8Array(bytes) }))
  })

// Names that look like numbers are put first by JSON objects: their order is not the order of the data.
const name = fc
  .oneof(
    fc.string({ maxLength: 4 }),
    fc.string({ unit: 'grapheme', maxLength: 3 }),
    fc.nat(9).map(String),
  )
  .filter((value) => value !== '__metadata__')
const tensors = fc.array(fc.tuple(name, tensor), { maxLength: 6 }).map((list) => new Map(list))
const metadata = fc
  .array(fc.tuple(name, fc.string()), { maxLength: 3 })
  .map((list) => Object.fromEntries(list) as Record<string, string>)

function fileOf(header: unknown, data: Uint8Array | number = 0): Uint8Array {
  const json = typeof header === 'string' ? header : JSON.stringify(header)
  const text = new TextEncoder().encode(json)
  const bytes = typeof data === 'number' ? new Uint8Array(data) : data
  const file = new Uint8Array(8 + text.byteLength + bytes.byteLength)
  new DataView(file.buffer).setBigUint64(0, BigInt(text.byteLength), true)
  file.set(text, 8)
  file.set(bytes, 8 + text.byteLength)
  return file
}

const floats = (start: unknown, end: unknown, shape: unknown = [2]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [start, end],
})

describe('tensors and metadata come back', () => {
  test('whatever their names, dtypes and shapes, empty ones included', () => {
    fc.assert(
      fc.property(tensors, metadata, (given, notes) => {
        const read = decodeSafetensors(encodeSafetensors(given, notes))
        expect(read.metadata).toEqual(notes)
        expect(new Map([...read.tensors].sort())).toEqual(new Map([...given].sort()))
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  test('under the name of a property that every object has', () => {
    const given = new Map([['__proto__', tensorOf(Float32Array.of(1))]])
    const read = decodeSafetensors(encodeSafetensors(given))
    expect([...read.tensors.keys()]).toEqual(['__proto__'])
  })

  test('every tensor at a multiple of its element, as a view into the file', () => {
    fc.assert(
      fc.property(tensors, (given) => {
        const file = encodeSafetensors(given)
        for (const { dtype, bytes } of decodeSafetensors(file).tensors.values()) {
          expect(bytes.byteOffset % bytesPerElement[dtype]).toBe(0)
          expect(bytes.buffer).toBe(file.buffer)
        }
      }),
      { seed: SEED, numRuns: 100 },
    )
  })

  test('from the middle of a larger buffer', () => {
    const file = encodeSafetensors(new Map([['a', tensorOf(Float32Array.of(1, 2))]]))
    const larger = new Uint8Array(file.byteLength + 20)
    larger.set(file, 13)
    const { tensors } = decodeSafetensors(larger.subarray(13, 13 + file.byteLength))
    expect([...float32View(tensors.get('a')!)]).toEqual([1, 2])
  })
})

// python3 -c "import json, struct, sys
// h = json.dumps({'b': {'dtype': 'F32', 'shape': [2, 1], 'data_offsets': [3, 11]},
//   'a': {'dtype': 'U8', 'shape': [3], 'data_offsets': [0, 3]}, '__metadata__': {'by': 'hand'}}).encode()
// print((struct.pack('<Q', len(h)) + h + bytes([7, 8, 9]) + struct.pack('<2f', 1.5, -2)).hex())"
const BY_HAND =
  '9d000000000000007b2262223a207b226474797065223a2022463332222c20227368617065223a205b322c2031' +
  '5d2c2022646174615f6f666673657473223a205b332c2031315d7d2c202261223a207b226474797065223a2022' +
  '5538222c20227368617065223a205b335d2c2022646174615f6f666673657473223a205b302c20335d7d2c2022' +
  '5f5f6d657461646174615f5f223a207b226279223a202268616e64227d7d0708090000c03f000000c0'

test('a file that Python wrote by hand, not aligned and in another order, is read', () => {
  const read = decodeSafetensors(Uint8Array.fromHex(BY_HAND))
  expect(read.metadata).toEqual({ by: 'hand' })
  expect([...read.tensors.keys()].sort()).toEqual(['a', 'b'])
  expect(read.tensors.get('a')).toEqual({
    dtype: 'uint8',
    shape: [3],
    bytes: Uint8Array.of(7, 8, 9),
  })
  expect(read.tensors.get('b')!.shape).toEqual([2, 1])
  expect([...float32View(read.tensors.get('b')!)]).toEqual([1.5, -2])
})

describe('refused with SafetensorsError', () => {
  const huge = fileOf('{}')
  new DataView(huge.buffer).setBigUint64(0, 2n ** 63n, true)
  const longer = fileOf('{}')
  new DataView(longer.buffer).setBigUint64(0, 3n, true)

  test.each([
    ['fewer than 8 bytes', new Uint8Array(7), 'shorter than 8 bytes'],
    ['a huge header', huge, 'a header of 9223372036854775808 bytes'],
    ['a header longer than the file', longer, 'a header of 3 bytes'],
    ['an empty header', fileOf(''), 'not JSON'],
    ['a header that is not JSON', fileOf('{"a": '), 'not JSON'],
    ['a header that is not UTF-8', Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff), 'not JSON'],
    ['a header that is a list', fileOf([]), 'not a JSON object'],
    ['a header that is null', fileOf('null'), 'not a JSON object'],
    ['metadata that is no object', fileOf({ __metadata__: 3 }), 'texts to texts'],
    ['metadata with numbers', fileOf({ __metadata__: { a: 3 } }), 'texts to texts'],
    ['an entry that is null', fileOf({ a: null }), 'tensor a: unknown dtype'],
    ['an unknown dtype', fileOf({ a: { ...floats(0, 8), dtype: 'F8' } }, 8), 'unknown dtype F8'],
    [
      'a dtype named like a property of every object',
      fileOf({ a: { ...floats(0, 8), dtype: 'constructor' } }, 8),
      'unknown dtype',
    ],
    ['a shape that is no list', fileOf({ a: floats(0, 8, 2) }, 8), 'not a list of counts'],
    ['a negative extent', fileOf({ a: floats(0, 8, [-2, -1]) }, 8), 'not a list of counts'],
    ['a fractional extent', fileOf({ a: floats(0, 8, [0.5, 4]) }, 8), 'not a list of counts'],
    ['no offsets', fileOf({ a: { dtype: 'F32', shape: [2] } }, 8), 'outside the data'],
    ['an end outside the data', fileOf({ a: floats(0, 8) }, 7), 'outside the data'],
    ['a negative start', fileOf({ a: floats(-8, 0) }, 8), 'outside the data'],
    ['an end before the start', fileOf({ a: floats(8, 0) }, 8), 'outside the data'],
    ['offsets that are texts', fileOf({ a: floats('0', '8') }, 8), 'outside the data'],
    [
      'too few bytes for the shape',
      fileOf({ a: floats(0, 4) }, 4),
      '4 bytes do not fill 2 float32',
    ],
    ['too many bytes for the shape', fileOf({ a: floats(0, 12) }, 12), '12 bytes do not fill'],
    [
      'a shape whose count is beyond all bytes',
      fileOf({ a: floats(0, 8, [2 ** 40, 2 ** 40]) }, 8),
      'do not fill',
    ],
    [
      'overlapping tensors',
      fileOf({ a: floats(0, 8), b: floats(4, 12) }, 12),
      'overlap or leave a gap at byte 4',
    ],
    [
      'one span for two tensors',
      fileOf({ a: floats(0, 8), b: floats(0, 8) }, 8),
      'overlap or leave a gap',
    ],
    ['a gap between tensors', fileOf({ a: floats(0, 8), b: floats(12, 20) }, 20), 'gap at byte 12'],
    ['a gap before the first tensor', fileOf({ a: floats(4, 12) }, 12), 'gap at byte 4'],
    ['bytes after the last tensor', fileOf({ a: floats(0, 8) }, 9), '1 bytes belong to no tensor'],
  ] as const)('%s', (_what, file, message) => {
    expect(() => decodeSafetensors(file)).toThrow(SafetensorsError)
    expect(() => decodeSafetensors(file)).toThrow(message)
  })

  test('a tensor that is written under the name of the metadata', () => {
    const taken = new Map([['__metadata__', tensorOf(Float32Array.of(1))]])
    expect(() => encodeSafetensors(taken)).toThrow(SafetensorsError)
  })

  test('or read: any header and any data, and never a view outside the file', () => {
    const anything = fc.oneof(fc.constantFrom('F32', 'U8', 'I64', 'X'), fc.integer(), fc.anything())
    const entry = fc.record({
      dtype: fc.constantFrom('F32', 'U8', 'I64', 'BOOL', 'X', null),
      shape: fc.oneof(fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 3 }), anything),
      data_offsets: fc.oneof(fc.tuple(fc.integer({ min: -1, max: 16 }), fc.nat(16)), anything),
    })
    const header = fc.dictionary(name, fc.oneof(entry, anything), { maxKeys: 3 })
    const safe = (file: Uint8Array): void => {
      try {
        for (const { dtype, shape, bytes } of decodeSafetensors(file).tensors.values()) {
          expect(bytes.byteLength).toBe(elementCount(shape) * bytesPerElement[dtype])
        }
      } catch (error) {
        if (!(error instanceof SafetensorsError)) throw error
      }
    }
    const json = header.map((value) =>
      JSON.stringify(value, (_key, inner: unknown) =>
        typeof inner === 'bigint' ? String(inner) : inner,
      ),
    )
    fc.assert(
      fc.property(json, fc.nat(20), (text, data) => safe(fileOf(text, data))),
      { seed: SEED, numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => safe(bytes)),
      { seed: SEED, numRuns: 500 },
    )
  })
})
