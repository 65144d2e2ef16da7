// Other operator sets than 17, at reading: what was an attribute becomes an input, or the reverse, and
// operators that 17 does not have become operators that it has. Sources: the changelog of ONNX operators.
import { bytesOf, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import {
  type Attribute,
  type Attributes,
  type Graph,
  GraphError,
  integer,
  integers,
  type Node,
  textOf,
} from '../graph.ts'
import { literalOf } from '../literals.ts'

export const OLDEST_OPSET = 9
export const NEWEST_OPSET = 21

interface Conversion {
  readonly node: Node
  readonly version: number
  /** Adds a tensor to the graph and returns its name. */
  readonly add: (tensor: Tensor) => string
  /** Values that are known at reading. */
  readonly numbers: (name: string | undefined) => readonly number[] | undefined
}

type Convert = (conversion: Conversion) => readonly Node[]

/** Throws `GraphError` naming the node that means something which opset 17 cannot say. */
export function toOpset17(graph: Graph, version: number): Graph {
  if (version >= 13 && version <= 17) return graph
  const initializers = new Map(graph.initializers)
  const constants = new Map<string, Tensor>()
  const add = (tensor: Tensor): string => {
    const name = `opset/${initializers.size}`
    initializers.set(name, tensor)
    return name
  }
  const numbers = (name: string | undefined) => {
    const tensor = name ? (initializers.get(name) ?? constants.get(name)) : undefined
    const values = tensor && literalOf(tensor)?.values
    return values as readonly number[] | undefined
  }
  const nodes = graph.nodes.flatMap((node) => {
    const { value } = node.attributes
    if (node.op === 'Constant' && value?.type === 'tensor') {
      constants.set(node.outputs[0] ?? '', value.value)
    }
    const convert = Object.hasOwn(conversions, node.op) ? conversions[node.op] : undefined
    return convert?.({ node, version, add, numbers }) ?? [node]
  })
  return { ...graph, nodes, initializers }
}

const int64 = (values: readonly number[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  bytes: bytesOf(BigInt64Array.from(values, BigInt)),
})

const without = (attributes: Attributes, ...names: readonly string[]): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)))

const refuse = (node: Node, what: string): never => {
  throw new GraphError(`node ${node.name}: ${node.op} ${what} is not supported`)
}

const tensorFor = (attribute: Attribute): Tensor | undefined => {
  switch (attribute.type) {
    case 'integer':
      return int64([attribute.value])
    case 'integers':
      return int64(attribute.value)
    case 'float':
      return tensorOf(Float32Array.of(attribute.value), [])
    case 'floats':
      return tensorOf(Float32Array.from(attribute.value))
    default:
      return undefined
  }
}

/** Before `version`, the named attributes stood for the inputs from `first` on. */
const attributesToInputs =
  (before: number, first: number, names: readonly string[]): Convert =>
  ({ node, version, add }) => {
    if (version >= before) return [node]
    const inputs = [...node.inputs]
    for (const [index, name] of names.entries()) {
      const attribute = node.attributes[name]
      const tensor = attribute && tensorFor(attribute)
      while (inputs.length < first + index) inputs.push('')
      inputs[first + index] = tensor ? add(tensor) : ''
    }
    while (inputs.at(-1) === '') inputs.pop()
    return [{ ...node, inputs, attributes: without(node.attributes, ...names) }]
  }

/** From 18 on, all reductions take their axes as an input; in 17 only ReduceSum does. */
const reduction: Convert = ({ node, version, numbers }) => {
  const axes = node.inputs[1]
  if (version < 18) return [node]
  const known = numbers(axes)
  if (axes && !known) return refuse(node, 'over axes that are not a constant')
  const attributes = without(node.attributes, 'noop_with_empty_axes')
  const isNothing = node.attributes.noop_with_empty_axes?.value === 1 && !known?.length
  const inputs = node.inputs.slice(0, 1)
  if (isNothing) return [{ ...node, op: 'Identity', inputs, attributes: {} }]
  return [
    {
      ...node,
      inputs,
      attributes: { ...attributes, ...(known?.length && { axes: integers(known) }) },
    },
  ]
}

/** Before 13: over everything from `axis` on, as one axis. */
const flattening: Convert = ({ node, version }) => {
  const { axis = integer(1) } = node.attributes
  if (version >= 13 || axis.value === -1) return [node]
  const [x = ''] = node.inputs
  const at = (part: string) => `${node.name}/${part}`
  const make = (
    op: string,
    inputs: string[],
    output: string,
    attributes: Attributes = {},
  ): Node => ({
    op,
    name: output === node.outputs[0] ? node.name : output,
    inputs,
    outputs: [output],
    attributes,
  })
  return [
    make('Flatten', [x], at('flat'), { axis }),
    make(node.op, [at('flat')], at('normalised'), { axis: integer(-1) }),
    make('Shape', [x], at('shape')),
    make('Reshape', [at('normalised'), at('shape')], node.outputs[0] ?? ''),
  ]
}

/** Before 11: from the corner of the corner element, rounded down. */
const resize: Convert = ({ node, version, add }) => {
  const { attributes } = node
  if (version < 11) {
    const scales = attributes.scales && tensorFor(attributes.scales)
    const inputs = [node.inputs[0] ?? '', '', scales ? add(scales) : (node.inputs[1] ?? '')]
    const text = (value: string): Attribute => ({ type: 'text', value })
    const how = { coordinate_transformation_mode: text('asymmetric'), nearest_mode: text('floor') }
    return [
      { ...node, op: 'Resize', inputs, attributes: { ...without(attributes, 'scales'), ...how } },
    ]
  }
  if (version < 18) return [node]
  if (attributes.antialias?.value === 1) return refuse(node, 'with antialias')
  if (attributes.axes) return refuse(node, 'with axes')
  if (textOf(node, 'keep_aspect_ratio_policy', 'stretch') !== 'stretch') {
    return refuse(node, 'that keeps the aspect ratio')
  }
  const kept = without(attributes, 'antialias', 'keep_aspect_ratio_policy')
  return [{ ...node, attributes: kept }]
}

const padAttributes = attributesToInputs(11, 1, ['pads', 'value'])

/** A formula of one input x, in steps of operator, operands and output; numbers are constants. */
type Step = readonly [op: string, operands: readonly (string | number)[]]

const formula = ({ node, add }: Conversion, steps: readonly Step[]): readonly Node[] =>
  steps.map(([op, operands], index) => {
    const isLast = index === steps.length - 1
    const name = (at: number) => `${node.name}/${at}`
    const inputs = operands.map((operand) => {
      if (typeof operand === 'number') return add(tensorOf(Float32Array.of(operand), []))
      return operand === 'x' ? (node.inputs[0] ?? '') : name(Number(operand))
    })
    const output = isLast ? (node.outputs[0] ?? '') : name(index)
    return { op, name: isLast ? node.name : name(index), inputs, outputs: [output], attributes: {} }
  })

const gelu: Convert = (conversion) =>
  textOf(conversion.node, 'approximate', 'none') === 'tanh'
    ? formula(conversion, [
        ['Mul', ['x', 'x']],
        ['Mul', ['0', 0.044715]],
        ['Add', ['1', 1]],
        ['Mul', ['2', 'x']],
        ['Mul', ['3', Math.sqrt(2 / Math.PI)]],
        ['Tanh', ['4']],
        ['Add', ['5', 1]],
        ['Mul', ['6', 'x']],
        ['Mul', ['7', 0.5]],
      ])
    : formula(conversion, [
        ['Mul', ['x', Math.SQRT1_2]],
        ['Erf', ['0']],
        ['Add', ['1', 1]],
        ['Mul', ['2', 'x']],
        ['Mul', ['3', 0.5]],
      ])

const reducing =
  'ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare'

const conversions: Readonly<Record<string, Convert>> = {
  ...Object.fromEntries(reducing.split(' ').map((op) => [op, reduction])),
  Squeeze: attributesToInputs(13, 1, ['axes']),
  Unsqueeze: attributesToInputs(13, 1, ['axes']),
  ReduceSum: attributesToInputs(13, 1, ['axes']),
  Split: (conversion) => {
    const [node = conversion.node] = attributesToInputs(13, 1, ['split'])(conversion)
    return [{ ...node, attributes: without(node.attributes, 'num_outputs') }]
  },
  Softmax: flattening,
  LogSoftmax: flattening,
  Hardmax: flattening,
  Dropout: attributesToInputs(12, 1, ['ratio']),
  Clip: attributesToInputs(11, 1, ['min', 'max']),
  Slice: attributesToInputs(10, 1, ['starts', 'ends', 'axes']),
  TopK: attributesToInputs(10, 1, ['k']),
  Pad: (conversion) => {
    const { node } = conversion
    if (node.inputs[3]) return refuse(node, 'with axes')
    if (textOf(node, 'mode', 'constant') === 'wrap') return refuse(node, 'of mode wrap')
    return padAttributes(conversion)
  },
  Resize: resize,
  Upsample: resize,
  Scatter: ({ node }) => [{ ...node, op: 'ScatterElements' }],
  Cast: ({ node }) => [{ ...node, attributes: without(node.attributes, 'saturate') }],
  Gelu: gelu,
  Mish: (conversion) =>
    formula(conversion, [
      ['Softplus', ['x']],
      ['Tanh', ['0']],
      ['Mul', ['1', 'x']],
    ]),
}
