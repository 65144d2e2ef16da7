// Reads and writes .onnx files (written: IR version 8, opset 17). The library does the protobuf wire; the field
// numbers below are those of onnx.proto (github.com/onnx/onnx). The only importer of @bufbuild/protobuf.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { bytesPerElement, elementCount, type Tensor } from '../protocol/tensor.ts'
import {
  type Attribute,
  type Extent,
  type Graph,
  GraphError,
  type Node,
  type Value,
} from './graph.ts'
import { type External, externalBytes, OnnxFileError } from './onnx/external.ts'
import { dtypeNumbers, dtypes, typedBytes } from './onnx/typed-values.ts'
import { NEWEST_OPSET, OLDEST_OPSET, toOpset17 } from './onnx/opset.ts'

const IR_VERSION = 8
const OPSET = 17

export { OnnxFileError }

export function encodeOnnx(graph: Graph): Uint8Array {
  const w = new BinaryWriter()
  w.tag(1, WireType.Varint).int64(IR_VERSION)
  text(w, 2, 'troupe')
  nested(w, 7, () => writeGraph(w, graph))
  nested(w, 8, () => {
    text(w, 1, '')
    w.tag(2, WireType.Varint).int64(OPSET)
  })
  for (const [key, value] of Object.entries(graph.metadata ?? {})) {
    nested(w, 14, () => {
      text(w, 1, key)
      text(w, 2, value)
    })
  }
  return w.finish()
}

export interface DecodeOptions {
  /** The content of a file beside the model, by the name that the model calls it by. */
  readonly external?: NonNullable<External>
}

/** Throws `OnnxFileError` where the bytes are no model that we can represent. */
export function decodeOnnx(bytes: Uint8Array, { external }: DecodeOptions = {}): Graph {
  try {
    return readModel(new BinaryReader(bytes), external)
  } catch (cause) {
    if (cause instanceof OnnxFileError) throw cause
    if (cause instanceof GraphError) throw new OnnxFileError(cause.message, { cause })
    throw new OnnxFileError(
      `not an .onnx file: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
}

function text(w: BinaryWriter, field: number, value: string): void {
  w.tag(field, WireType.LengthDelimited).string(value)
}

function nested(w: BinaryWriter, field: number, write: () => void): void {
  w.tag(field, WireType.LengthDelimited).fork()
  write()
  w.join()
}

function writeGraph(w: BinaryWriter, graph: Graph): void {
  for (const node of graph.nodes) nested(w, 1, () => writeNode(w, node))
  text(w, 2, graph.name)
  for (const [name, tensor] of graph.initializers) nested(w, 5, () => writeTensor(w, tensor, name))
  for (const value of graph.inputs) nested(w, 11, () => writeValue(w, value))
  for (const value of graph.outputs) nested(w, 12, () => writeValue(w, value))
}

function writeNode(w: BinaryWriter, { op, name, inputs, outputs, attributes }: Node): void {
  for (const input of inputs) text(w, 1, input)
  for (const output of outputs) text(w, 2, output)
  text(w, 3, name)
  text(w, 4, op)
  for (const [key, attribute] of Object.entries(attributes)) {
    nested(w, 5, () => writeAttribute(w, key, attribute))
  }
}

function writeAttribute(w: BinaryWriter, name: string, attribute: Attribute): void {
  text(w, 1, name)
  const type = (number: number) => w.tag(20, WireType.Varint).int32(number)
  switch (attribute.type) {
    case 'float':
      w.tag(2, WireType.Bit32).float(attribute.value)
      return void type(1)
    case 'integer':
      w.tag(3, WireType.Varint).int64(attribute.value)
      return void type(2)
    case 'text':
      text(w, 4, attribute.value)
      return void type(3)
    case 'tensor':
      nested(w, 5, () => writeTensor(w, attribute.value))
      return void type(4)
    case 'floats':
      for (const value of attribute.value) w.tag(7, WireType.Bit32).float(value)
      return void type(6)
    case 'texts':
      for (const value of attribute.value) text(w, 9, value)
      return void type(8)
    case 'integers':
      for (const value of attribute.value) w.tag(8, WireType.Varint).int64(value)
      return void type(7)
  }
}

function writeTensor(w: BinaryWriter, { dtype, shape, bytes }: Tensor, name?: string): void {
  for (const extent of shape) w.tag(1, WireType.Varint).int64(extent)
  w.tag(2, WireType.Varint).int32(dtypeNumbers.get(dtype) ?? 0)
  if (name !== undefined) text(w, 8, name)
  w.tag(9, WireType.LengthDelimited).bytes(bytes)
}

function writeValue(w: BinaryWriter, { name, dtype, shape }: Value): void {
  text(w, 1, name)
  nested(w, 2, () =>
    nested(w, 1, () => {
      w.tag(1, WireType.Varint).int32(dtypeNumbers.get(dtype) ?? 0)
      nested(w, 2, () => {
        for (const extent of shape) {
          nested(w, 1, () => {
            if (typeof extent === 'number') w.tag(1, WireType.Varint).int64(extent)
            else text(w, 2, extent)
          })
        }
      })
    }),
  )
}

/** Reads the fields of one message: `fields[number]` reads one, others are skipped. */
function message(
  r: BinaryReader,
  fields: Readonly<Record<number, (wire: WireType) => void>>,
  length?: number,
): void {
  const end = length === undefined ? r.len : r.pos + length
  if (end > r.len) throw new OnnxFileError('not an .onnx file: a message is longer than the file')
  while (r.pos < end) {
    const [field, wire] = r.tag()
    const read = fields[field]
    if (read) read(wire)
    else r.skip(wire, field)
  }
  if (r.pos !== end) throw new OnnxFileError('not an .onnx file: a field runs past its message')
}

const embedded = (
  r: BinaryReader,
  fields: Readonly<Record<number, (wire: WireType) => void>>,
): void => message(r, fields, r.uint32())

function integers64(r: BinaryReader, wire: WireType, into: number[]): void {
  repeated(r, wire, () => into.push(integer64(r)))
}

/** A repeated number, packed or not. */
function repeated(r: BinaryReader, wire: WireType, read: () => void): void {
  if (wire !== WireType.LengthDelimited) return read()
  for (const end = r.uint32() + r.pos; r.pos < end; ) read()
}

function integer64(r: BinaryReader): number {
  const value = Number(r.int64())
  if (!Number.isSafeInteger(value)) throw new OnnxFileError(`integer ${value} is out of range`)
  return value
}

/** In attributes the largest int64 stands for "to the end": the largest safe integer does as well. */
function nearest64(r: BinaryReader): number {
  const value = Number(r.int64())
  return Math.min(Math.max(value, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
}

function readModel(r: BinaryReader, external: External): Graph {
  let graph: Graph | undefined
  let opset: number | undefined
  const metadata: [string, string][] = []
  message(r, {
    7: () => {
      graph = readGraph(r, external)
    },
    8: () => {
      const { domain, version } = readOpset(r)
      if (domain === '') opset = version
    },
    14: () => {
      const { key, value } = readEntry(r)
      metadata.push([key, value])
    },
  })
  if (!graph) throw new OnnxFileError('not an .onnx file: it holds no graph')
  if (opset === undefined || opset < OLDEST_OPSET || opset > NEWEST_OPSET) {
    throw new OnnxFileError(
      `operator set ${opset ?? 'unknown'}: ${OLDEST_OPSET} to ${NEWEST_OPSET} are read; convert the model`,
    )
  }
  const read = toOpset17(graph, opset)
  return metadata.length > 0 ? { ...read, metadata: Object.fromEntries(metadata) } : read
}

function readEntry(r: BinaryReader): { key: string; value: string } {
  let [key, value] = ['', '']
  embedded(r, {
    1: () => {
      key = r.string()
    },
    2: () => {
      value = r.string()
    },
  })
  return { key, value }
}

function readOpset(r: BinaryReader): { domain: string; version: number } {
  let [domain, version] = ['', 0]
  embedded(r, {
    1: () => {
      domain = r.string()
    },
    2: () => {
      version = integer64(r)
    },
  })
  return { domain: domain === 'ai.onnx' ? '' : domain, version }
}

function readGraph(r: BinaryReader, external: External): Graph {
  let name = ''
  const nodes: Node[] = []
  const initializers = new Map<string, Tensor>()
  const inputs: Value[] = []
  const outputs: Value[] = []
  embedded(r, {
    1: () => void nodes.push(readNode(r, external)),
    2: () => {
      name = r.string()
    },
    5: () => {
      const { name, tensor } = readTensor(r, external)
      initializers.set(name, tensor)
    },
    11: () => void inputs.push(readValue(r)),
    12: () => void outputs.push(readValue(r)),
  })
  // Older writers list initializers among the inputs too.
  return {
    name,
    nodes,
    initializers,
    inputs: inputs.filter((i) => !initializers.has(i.name)),
    outputs,
  }
}

function readNode(r: BinaryReader, external: External): Node {
  let [op, name] = ['', '']
  const inputs: string[] = []
  const outputs: string[] = []
  const attributes: [string, Attribute][] = []
  embedded(r, {
    1: () => void inputs.push(r.string()),
    2: () => void outputs.push(r.string()),
    3: () => {
      name = r.string()
    },
    4: () => {
      op = r.string()
    },
    5: () => void attributes.push(readAttribute(r, external)),
    7: () => {
      const domain = r.string()
      if (domain !== '' && domain !== 'ai.onnx') {
        throw new OnnxFileError(`node ${name}: operator domain ${domain} is not supported`)
      }
    },
  })
  return {
    op,
    name: name || `${op}/${outputs[0] ?? ''}`,
    inputs,
    outputs,
    attributes: Object.fromEntries(attributes),
  }
}

function readAttribute(r: BinaryReader, external: External): [string, Attribute] {
  let name = ''
  let type = 0
  let [f, i, s] = [0, 0, '']
  const ints: number[] = []
  const floats: number[] = []
  const texts: string[] = []
  let t: Tensor | undefined
  embedded(r, {
    1: () => {
      name = r.string()
    },
    2: () => {
      f = r.float()
    },
    3: () => {
      i = integer64(r)
    },
    4: () => {
      s = r.string()
    },
    5: () => {
      t = readTensor(r, external).tensor
    },
    7: (wire) => repeated(r, wire, () => floats.push(r.float())),
    8: (wire) => repeated(r, wire, () => ints.push(nearest64(r))),
    9: () => void texts.push(r.string()),
    20: () => {
      type = r.int32()
    },
  })
  const made: Record<number, Attribute | undefined> = {
    1: { type: 'float', value: f },
    2: { type: 'integer', value: i },
    3: { type: 'text', value: s },
    4: t && { type: 'tensor', value: t },
    6: { type: 'floats', value: floats },
    7: { type: 'integers', value: ints },
    8: { type: 'texts', value: texts },
  }
  const attribute = made[type]
  if (!attribute) throw new OnnxFileError(`attribute ${name}: type ${type} is not supported`)
  return [name, attribute]
}

function readTensor(r: BinaryReader, external: External): { name: string; tensor: Tensor } {
  let name = ''
  let type = 0
  const shape: number[] = []
  let raw: Uint8Array | undefined
  let isExternal = false
  const place = new Map<string, string>()
  const floats: number[] = []
  const ints: number[] = []
  const longs: bigint[] = []
  const doubles: number[] = []
  embedded(r, {
    1: (wire) => integers64(r, wire, shape),
    2: () => {
      type = r.int32()
    },
    4: (wire) => repeated(r, wire, () => floats.push(r.float())),
    5: (wire) => repeated(r, wire, () => ints.push(r.int32())),
    7: (wire) => repeated(r, wire, () => longs.push(BigInt(r.int64()))),
    8: () => {
      name = r.string()
    },
    9: () => {
      raw = r.bytes().slice()
    },
    10: (wire) => repeated(r, wire, () => doubles.push(r.double())),
    13: () => {
      const { key, value } = readEntry(r)
      place.set(key, value)
    },
    14: () => {
      isExternal = r.int32() === 1
    },
  })
  const dtype = dtypes[type as keyof typeof dtypes]
  if (!dtype) throw new OnnxFileError(`tensor ${name}: data type ${type} is not supported`)
  if (shape.some((extent) => extent < 0)) {
    throw new OnnxFileError(`tensor ${name}: shape ${shape.join('x')}`)
  }
  const outside = isExternal ? externalBytes(name, place, external) : undefined
  const bytes = outside ?? raw ?? typedBytes(dtype, { floats, ints, longs, doubles })
  if (bytes.byteLength !== elementCount(shape) * bytesPerElement[dtype]) {
    throw new OnnxFileError(
      `tensor ${name}: ${bytes.byteLength} bytes do not fill ${shape.join('x')} ${dtype}`,
    )
  }
  return { name, tensor: { dtype, shape, bytes } }
}

function readValue(r: BinaryReader): Value {
  let name = ''
  let type = 0
  const shape: Extent[] = []
  const dimension = () => {
    let extent: Extent = `${name}/${shape.length}`
    embedded(r, {
      1: () => {
        extent = integer64(r)
      },
      2: () => {
        extent = r.string()
      },
    })
    shape.push(extent)
  }
  embedded(r, {
    1: () => {
      name = r.string()
    },
    2: () =>
      embedded(r, {
        1: () =>
          embedded(r, {
            1: () => {
              type = r.int32()
            },
            2: () => embedded(r, { 1: dimension }),
          }),
      }),
  })
  const dtype = dtypes[type as keyof typeof dtypes]
  if (!dtype) throw new OnnxFileError(`value ${name}: data type ${type} is not supported`)
  return { name, dtype, shape }
}
