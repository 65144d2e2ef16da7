// Builds an ONNX graph node by node, inferring the shape of every value as it goes. A handle names a
// value and knows its dtype and shape; methods are ONNX operators (opset 17) with their own names.
import { assert } from '../protocol/assert.ts'
import { bytesOf, type DType, elementCount, type Tensor, tensorOf } from '../protocol/tensor.ts'
import {
  type Attributes,
  type Extent,
  float,
  type Graph,
  GraphError,
  integer,
  integers,
  type Node,
  type Value,
} from './graph.ts'
import { literalEvaluator } from './literals.ts'
import { axesOf, inferDTypes, inferShapes } from './shapes/shapes.ts'

export type Handle = Value

export interface Builder {
  input(name: string, shape: readonly Extent[], dtype?: DType): Handle
  /** float32 values baked into the graph. */
  constant(values: readonly number[], shape: readonly number[]): Handle
  /** int64, as shapes and axes are: a vector unless a shape is given. */
  integers(values: readonly number[], shape?: readonly number[]): Handle
  initializer(name: string, tensor: Tensor): Handle
  /** Any operator; the outputs' shapes are inferred. */
  node(op: string, inputs: readonly (Handle | undefined)[], options?: NodeOptions): Handle
  /** An operator of several outputs; `undefined` in `names` leaves one out. */
  nodes(
    op: string,
    inputs: readonly (Handle | undefined)[],
    options: ManyOptions,
  ): readonly (Handle | undefined)[]
  value(name: string): Handle
  /** The axes a reduction works on, from its second input or its attribute. */
  axesOf(node: Node, rank: number): number[]
  named(handle: Handle, name: string): Handle
  /** Its numbers, where they are known before the graph runs. */
  known(handle: Handle): number[] | undefined
  build(outputs: readonly Handle[], metadata?: Readonly<Record<string, string>>): Graph
}

export interface NodeOptions {
  readonly attributes?: Attributes
  readonly name?: string
  readonly dtype?: DType
  /** Where inference cannot know it (Expand to a run-time shape). */
  readonly shape?: readonly Extent[]
}

export interface ManyOptions {
  readonly attributes?: Attributes
  /** How many outputs, or the name of each: '' = left out. */
  readonly outputs: number | readonly string[]
}

export function graphBuilder(name: string, base?: Graph): Builder {
  const inputs: Value[] = [...(base?.inputs ?? [])]
  const initializers = new Map(base?.initializers)
  const nodes: Node[] = []
  const values = new Map<string, Value>()
  const constants = new Map<string, Handle>()
  let count = base?.nodes.length ?? 0

  const define = (value: Value): Handle => {
    if (values.has(value.name)) throw new GraphError(`${name}: two values are named ${value.name}`)
    values.set(value.name, value)
    return value
  }
  const lookUp = (wanted: string): Handle => {
    const found = values.get(wanted)
    if (!found) throw new GraphError(`${name}: no value is named ${wanted}`)
    return found
  }
  const constantOf = (tensor: Tensor): Handle => {
    const key = `${tensor.dtype}:${tensor.shape}:${tensor.bytes}`
    const known = constants.get(key)
    if (known) return known
    const made = builder.initializer(unused(`constant/${constants.size}`), tensor)
    constants.set(key, made)
    return made
  }
  /** A base graph, perhaps read from a file, may use the names that we would give. */
  const unused = (stem: string): string => {
    while (values.has(`${stem}/${count}`)) count += 1
    return `${stem}/${count}`
  }
  const { literals, learn } = literalEvaluator(initializers)
  const append = (node: Node, { dtype, shape }: Pick<NodeOptions, 'dtype' | 'shape'> = {}) => {
    const given = node.inputs.map((input) => (input ? values.get(input) : undefined))
    const shapes = shape ? [shape] : inferShapes(node, given, literals)
    const dtypes = dtype ? [dtype] : inferDTypes(node, given)
    nodes.push(node)
    learn(node, given)
    return node.outputs.map((output, index) => {
      if (!output) return undefined
      const [type, extents] = [dtypes[index] ?? dtypes[0], shapes[index]]
      assert(type !== undefined && extents !== undefined, `${node.op} has an output ${index}`)
      return define({ name: output, dtype: type, shape: extents })
    })
  }
  const builder: Builder = {
    input(inputName, shape, dtype = 'float32') {
      const value = define({ name: inputName, dtype, shape })
      inputs.push(value)
      return value
    },
    constant: (content, shape) => constantOf(tensorOf(Float32Array.from(content), shape)),
    integers(content, shape = [content.length]) {
      const bytes = bytesOf(BigInt64Array.from(content, BigInt))
      return constantOf({ dtype: 'int64', shape, bytes })
    },
    initializer(tensorName, tensor) {
      initializers.set(tensorName, tensor)
      return define({ name: tensorName, dtype: tensor.dtype, shape: tensor.shape })
    },
    node(op, given, { attributes = {}, name: output, dtype, shape } = {}) {
      const nodeName = output ?? unused(op)
      count += 1
      const node = {
        op,
        name: nodeName,
        inputs: given.map((handle) => handle?.name ?? ''),
        outputs: [nodeName],
        attributes,
      }
      const [first] = append(node, { ...(dtype && { dtype }), ...(shape && { shape }) })
      assert(first !== undefined, 'a node has an output')
      return first
    },
    nodes(op, given, { attributes = {}, outputs }) {
      const nodeName = unused(op)
      count += 1
      const names =
        typeof outputs === 'number'
          ? Array.from({ length: outputs }, (_, index) => `${nodeName}/output${index}`)
          : outputs
      const inputs = given.map((handle) => handle?.name ?? '')
      return append({ op, name: nodeName, inputs, outputs: names, attributes })
    },
    value: lookUp,
    known: ({ name: wanted }) => literals(wanted),
    axesOf: (node, rank) => axesOf(node, rank, literals),
    named: (handle, output) => builder.node('Identity', [handle], { name: output }),
    build: (outputs, metadata) => ({
      name,
      inputs,
      outputs: outputs.map(({ name: output }) => lookUp(output)),
      initializers,
      nodes,
      ...(metadata && { metadata }),
    }),
  }
  for (const value of inputs) define(value)
  for (const [tensorName, { dtype, shape }] of initializers) {
    define({ name: tensorName, dtype, shape })
  }
  const known = new Map(base?.outputs.map((value) => [value.name, value]))
  for (const node of base?.nodes ?? []) {
    const dtype = node.outputs.length === 1 ? known.get(node.outputs[0] ?? '')?.dtype : undefined
    append(node, dtype && { dtype })
  }
  return builder
}

/** The number of elements, where every extent is known. */
export function knownCount(shape: readonly Extent[]): number | undefined {
  return shape.every((extent) => typeof extent === 'number')
    ? elementCount(shape as readonly number[])
    : undefined
}

export { float, integer, integers }
