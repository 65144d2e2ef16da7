import { describe, expect, test } from 'bun:test'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'
import { graphBuilder } from '../../models/builder.ts'
import { type Attribute, float, type Graph, integer, integers } from '../../models/graph.ts'
import { acousticNetwork } from '../../models/networks/acoustic.ts'
import { decodeOnnx, encodeOnnx, OnnxFileError } from '../../models/onnx-file.ts'
import { openSession } from '../../models/session.ts'
import {
  bytesOf,
  bytesPerElement,
  type DType,
  elementCount,
  float32View,
  type Tensor,
  tensorOf,
} from '../../protocol/tensor.ts'

const SEED = 17

/** Every kind of attribute, dtype, extent and left-out input. */
const everything: Graph = {
  name: 'everything',
  inputs: [
    { name: 'x', dtype: 'float32', shape: ['N', 3] },
    { name: 'flags', dtype: 'bool', shape: [] },
    { name: 'none', dtype: 'int64', shape: [0, 'N*2'] },
  ],
  outputs: [{ name: 'y', dtype: 'float16', shape: [2 ** 40] }],
  initializers: new Map(
    Object.keys(bytesPerElement).map((name) => {
      const dtype = name as DType
      const bytes = Uint8Array.from({ length: 6 * bytesPerElement[dtype] }, (_, i) => i)
      return [`constant/${name}`, { dtype, shape: [2, 3], bytes }]
    }),
  ),
  nodes: [
    {
      op: 'Clip',
      name: 'node with a name',
      inputs: ['x', '', 'constant/float32'],
      outputs: ['y', '', 'z'],
      attributes: {
        i: integer(-3),
        large: integer(Number.MAX_SAFE_INTEGER),
        f: float(0.5),
        text: { type: 'text', value: 'añd' },
        list: integers([1, -1, 0]),
        empty: integers([]),
        tensor: { type: 'tensor', value: tensorOf(Float32Array.of(1.5), []) },
      },
    },
  ],
  metadata: { card: '{"a": 1}', empty: '' },
}

const text = fc.string({ unit: 'grapheme', maxLength: 6 })
const name = fc.string({ minLength: 1, maxLength: 6 })
const extent = fc.oneof(fc.nat(5), name)
const dtype = fc.constantFrom(...(Object.keys(bytesPerElement) as DType[]))

const tensor: fc.Arbitrary<Tensor> = fc
  .record({ dtype, shape: fc.array(fc.nat(3), { maxLength: 3 }) })
  .chain(({ dtype, shape }) => {
    const length = elementCount(shape) * bytesPerElement[dtype]
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes) => ({ dtype, shape, bytes: new Uint8Array(bytes) }))
  })

const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.maxSafeInteger().map(integer),
  fc.float({ noNaN: true }).map(float),
  text.map((value): Attribute => ({ type: 'text', value })),
  fc.array(fc.integer(), { maxLength: 4 }).map(integers),
  tensor.map((value): Attribute => ({ type: 'tensor', value })),
)

const value = fc.record({ name, dtype, shape: fc.array(extent, { maxLength: 3 }) })
const graph: fc.Arbitrary<Graph> = fc
  .record({
    name: text,
    inputs: fc.array(value, { maxLength: 3 }),
    outputs: fc.array(value, { maxLength: 3 }),
    initializers: fc.array(fc.tuple(name, tensor), { maxLength: 3 }),
    nodes: fc.array(
      fc.record({
        op: text,
        name,
        inputs: fc.array(text, { maxLength: 3 }),
        outputs: fc.array(text, { maxLength: 3 }),
        attributes: fc.array(fc.tuple(text, attribute), { maxLength: 3 }).map(Object.fromEntries),
      }),
      { maxLength: 3 },
    ),
    metadata: fc
      .array(fc.tuple(text, text), { minLength: 1, maxLength: 3 })
      .map((entries) => Object.fromEntries(entries) as Record<string, string>),
  })
  .map(({ initializers, inputs, ...rest }) => {
    const known = new Map(initializers)
    // A reader takes an input that is also an initializer for an initializer.
    return { ...rest, initializers: known, inputs: inputs.filter((i) => !known.has(i.name)) }
  })

describe('a graph comes back from its file', () => {
  test('with every kind of attribute, extent, dtype and metadata', () => {
    expect(decodeOnnx(encodeOnnx(everything))).toEqual(everything)
  })

  test('whatever its names, shapes and attributes', () => {
    fc.assert(
      fc.property(graph, (given) => {
        expect(decodeOnnx(encodeOnnx(given))).toEqual(given)
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  test('the graphs of the acoustic network', () => {
    const { forward, crossEntropy, outer } = acousticNetwork({
      inputs: 5,
      hidden: [6, 4],
      outputs: 3,
      nonlinearity: { pNormGroup: 2 },
    })
    for (const each of [forward, crossEntropy, outer]) {
      expect(decodeOnnx(encodeOnnx(each))).toEqual(each)
    }
  })

  test('with attributes and metadata named like properties of every object', () => {
    const node = everything.nodes[0]!
    const odd: Graph = {
      ...everything,
      nodes: [{ ...node, attributes: { ['__proto__']: integer(1), constructor: integer(2) } }],
      metadata: { ['__proto__']: 'kept' },
    }
    const { nodes, metadata } = decodeOnnx(encodeOnnx(odd))
    expect(Object.keys(nodes[0]!.attributes)).toEqual(['__proto__', 'constructor'])
    expect(Object.entries(metadata!)).toEqual([['__proto__', 'kept']])
  })

  test('without metadata where it has none', () => {
    const { metadata, ...bare } = everything
    expect('metadata' in decodeOnnx(encodeOnnx(bare))).toBe(false)
  })
})

test('ONNX Runtime opens and runs a graph that was written, read and written again', async () => {
  const b = graphBuilder('twice')
  const x = b.input('x', ['N', 3])
  const weight = b.initializer('w', tensorOf(Float32Array.of(1, 0, 0, 1, 1, 1), [2, 3]))
  const product = b.node('Gemm', [x, weight], { attributes: { transB: integer(1) } })
  const clipped = b.node('Clip', [product, undefined, b.constant([5], [])], { name: 'y' })
  const once = encodeOnnx(b.build([clipped], { note: 'kept' }))
  const session = await openSession(encodeOnnx(decodeOnnx(once)), { threads: 1 })
  const { y } = await session.run({ x: tensorOf(Float32Array.of(1, 2, 3, -4, 5, 6), [2, 3]) })
  expect(y!.shape).toEqual([2, 2])
  expect([...float32View(y!)]).toEqual([1, 5, -4, 5])
})

const field = (w: BinaryWriter, number: number, write: () => void): void => {
  w.tag(number, WireType.LengthDelimited).fork()
  write()
  w.join()
}

const model = (graphBody: (w: BinaryWriter) => void, opset: number | undefined = 17) => {
  const w = new BinaryWriter()
  field(w, 7, () => graphBody(w))
  if (opset !== 0) field(w, 8, () => w.tag(2, WireType.Varint).int64(opset))
  return w.finish()
}

/** An initializer `t` of 3 elements whose content `write` puts into a typed field. */
const initializer = (dtype: number, write: (w: BinaryWriter) => void, shape = [3]) =>
  model((w) =>
    field(w, 5, () => {
      for (const extent of shape) w.tag(1, WireType.Varint).int64(extent)
      w.tag(2, WireType.Varint).int32(dtype)
      w.tag(8, WireType.LengthDelimited).string('t')
      write(w)
    }),
  )

describe('what other writers do', () => {
  const packedInts = (number: number) => (w: BinaryWriter) =>
    field(w, number, () => [1, 0, 2].forEach((value) => w.int32(value)))
  const read = (bytes: Uint8Array) => decodeOnnx(bytes).initializers.get('t')!.bytes

  test.each([
    [
      'float32',
      1,
      (w: BinaryWriter) => field(w, 4, () => w.float(1).float(0).float(2)),
      Float32Array.of(1, 0, 2),
    ],
    [
      'float32, not packed',
      1,
      (w: BinaryWriter) => [1, 0, 2].forEach((value) => w.tag(4, WireType.Bit32).float(value)),
      Float32Array.of(1, 0, 2),
    ],
    ['uint8', 2, packedInts(5), Uint8Array.of(1, 0, 2)],
    ['int16', 5, packedInts(5), Int16Array.of(1, 0, 2)],
    ['int32', 6, packedInts(5), Int32Array.of(1, 0, 2)],
    ['int64', 7, packedInts(7), BigInt64Array.of(1n, 0n, 2n)],
    [
      'float64',
      11,
      (w: BinaryWriter) => field(w, 10, () => w.double(1).double(0).double(2)),
      Float64Array.of(1, 0, 2),
    ],
  ] as const)('%s values in their typed field are read', (_what, dtype, write, expected) => {
    expect(read(initializer(dtype, (w) => void write(w)))).toEqual(bytesOf(expected))
  })

  test('the largest int64, as in a slice without end, is read exactly', () => {
    const largest = 2n ** 63n - 1n
    const bytes = initializer(7, (w) => w.tag(7, WireType.Varint).int64(largest), [1])
    expect(read(bytes)).toEqual(bytesOf(BigInt64Array.of(largest)))
  })

  test('initializers that are listed as inputs are no inputs', () => {
    const b = graphBuilder('older')
    b.initializer('w', tensorOf(Float32Array.of(1)))
    const { initializers, ...rest } = b.build([b.node('Exp', [b.input('x', [1])])])
    const w = { name: 'w', dtype: 'float32', shape: [1] } as const
    const bytes = encodeOnnx({ ...rest, initializers, inputs: [w, ...rest.inputs] })
    expect(decodeOnnx(bytes).inputs.map((input) => input.name)).toEqual(['x'])
  })

  test('a node without a name is named after its operator and output', () => {
    const bytes = encodeOnnx({ ...everything, nodes: [{ ...everything.nodes[0]!, name: '' }] })
    expect(decodeOnnx(bytes).nodes[0]!.name).toBe('Clip/y')
  })
})

describe('refused with OnnxFileError', () => {
  const external = (w: BinaryWriter) => w.tag(14, WireType.Varint).int32(1)
  test.each([
    ['no bytes', new Uint8Array(), 'holds no graph'],
    ['text', new TextEncoder().encode('<html>not a model</html>'), 'not an .onnx file'],
    ['an older operator set', model(() => {}, 8), 'operator set 8'],
    ['a newer operator set', model(() => {}, 22), 'operator set 22'],
    ['no operator set', model(() => {}, 0), 'operator set unknown'],
    ['external data', initializer(1, external), 'external data'],
    ['a dtype without a name here', initializer(8, () => {}), 'data type 8'],
    [
      'too few values',
      initializer(1, (w) => w.tag(4, WireType.Bit32).float(1)),
      '4 bytes do not fill 3 float32',
    ],
    [
      'negative extents',
      initializer(2, (w) => w.tag(9, WireType.LengthDelimited).bytes(Uint8Array.of(1)), [-1, -1]),
      'shape -1x-1',
    ],
    [
      'a graph attribute',
      model((w) => field(w, 1, () => field(w, 5, () => w.tag(20, WireType.Varint).int32(5)))),
      'type 5 is not supported',
    ],
    [
      'an operator of another domain',
      model((w) => field(w, 1, () => w.tag(7, WireType.LengthDelimited).string('com.vendor'))),
      'domain com.vendor',
    ],
    [
      'a field that runs past its message',
      Uint8Array.of(0x3a, 2, 0x12, 3, 65, 65, 65),
      'past its message',
    ],
    [
      'a message longer than the file',
      Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0x7f),
      'longer than the file',
    ],
  ] as const)('%s', (_what, bytes, message) => {
    expect(() => decodeOnnx(bytes)).toThrow(OnnxFileError)
    expect(() => decodeOnnx(bytes)).toThrow(message)
  })

  const onlyOnnxFileError = (bytes: Uint8Array): void => {
    try {
      decodeOnnx(bytes)
    } catch (error) {
      if (!(error instanceof OnnxFileError)) throw error
    }
  }

  test('or read: any bytes at all', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), onlyOnnxFileError), {
      seed: SEED,
      numRuns: 2000,
    })
  })

  test('or read: a file with some bytes changed, or cut off', () => {
    const valid = encodeOnnx(everything)
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
    const hostile = fc.tuple(fc.array(change, { maxLength: 4 }), fc.nat(valid.length))
    fc.assert(
      fc.property(hostile, ([changes, length]) => {
        const bytes = valid.slice()
        for (const [at, byte] of changes) bytes[at] = byte
        onlyOnnxFileError(bytes)
        onlyOnnxFileError(bytes.subarray(0, length))
      }),
      { seed: SEED, numRuns: 3000 },
    )
  })
})

describe('external data', () => {
  const entry = (w: BinaryWriter, key: string, value: string) =>
    field(w, 13, () => {
      w.tag(1, WireType.LengthDelimited).string(key)
      w.tag(2, WireType.LengthDelimited).string(value)
    })
  const placed = (offset: string) =>
    initializer(1, (w) => {
      entry(w, 'location', 'weights.bin')
      entry(w, 'offset', offset)
      entry(w, 'length', '12')
      w.tag(14, WireType.Varint).int32(1)
    })
  const file = bytesOf(Float32Array.of(9, 1, 2, 3))

  test('is read from where the tensor says', () => {
    const external = (location: string) => (location === 'weights.bin' ? file : new Uint8Array())
    const { initializers } = decodeOnnx(placed('4'), { external })
    expect([...float32View(initializers.get('t')!)]).toEqual([1, 2, 3])
  })

  test.each(['8', '-4', 'x', '1e300'])('at offset %s is refused', (offset) => {
    expect(() => decodeOnnx(placed(offset), { external: () => file })).toThrow(OnnxFileError)
  })

  test('that is missing is named with tensor and file', () => {
    const external = () => {
      throw new Error('no such file')
    }
    const line = 'tensor t: external data in "weights.bin" cannot be read: no such file'
    expect(() => decodeOnnx(placed('4'), { external })).toThrow(line)
  })
})
