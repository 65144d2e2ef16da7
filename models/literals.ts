// Evaluates small tensors before the graph runs: the integer arithmetic on shapes that exporters write
// (Shape, Gather, Concat, ...). An element may be a symbol, where an extent is open.
import { elementCount, type Tensor } from '../protocol/tensor.ts'
import { type Extent, integerOf, type Node, type Value } from './graph.ts'
import { productOf, quotientOf, sumOf } from './shapes/extents.ts'

export interface Literal {
  readonly shape: readonly number[]
  readonly values: readonly Extent[]
}

/** Larger tensors are weights, not shapes. */
const ELEMENTS_MAX = 65_536

export function literalOf({ dtype, shape, bytes }: Tensor): Literal | undefined {
  if (elementCount(shape) > ELEMENTS_MAX) return undefined
  // A copy: some kinds of bytes only view the same memory when they are sliced.
  const { buffer } = new Uint8Array(bytes)
  switch (dtype) {
    case 'int64':
      return { shape, values: Array.from(new BigInt64Array(buffer), Number) }
    case 'int32':
      return { shape, values: [...new Int32Array(buffer)] }
    case 'float32':
      return { shape, values: [...new Float32Array(buffer)] }
    case 'bool':
      return { shape, values: [...bytes] }
    default:
      return undefined
  }
}

interface Evaluation {
  readonly node: Node
  readonly inputs: readonly (Literal | undefined)[]
  readonly values: readonly (Value | undefined)[]
  readonly output: Value
}

/** undefined where the node is none of these, or something that it needs is not known. */
export function evaluate(evaluation: Evaluation): Literal | undefined {
  const { op } = evaluation.node
  const rule = Object.hasOwn(evaluators, op) ? evaluators[op] : undefined
  const made = rule?.(evaluation)
  return made && made.values.length <= ELEMENTS_MAX ? made : undefined
}

type Evaluator = (evaluation: Evaluation) => Literal | undefined

const vector = (values: readonly Extent[]): Literal => ({ shape: [values.length], values })

/** The same elements in the shape of the output. */
const reshaped: Evaluator = ({ inputs: [x], output }) => {
  const isKnown = output.shape.every((extent) => typeof extent === 'number')
  return x && isKnown ? { shape: output.shape as readonly number[], values: x.values } : undefined
}

/** Element by element, of two equally long operands or with one of a single element. */
const binary =
  (apply: (a: Extent, b: Extent, isWhole: boolean) => Extent | undefined): Evaluator =>
  ({ inputs: [a, b], values }) => {
    if (!a || !b) return undefined
    const [longer, shorter] = a.values.length >= b.values.length ? [a, b] : [b, a]
    if (shorter.values.length !== longer.values.length && shorter.values.length !== 1)
      return undefined
    const at = (x: Literal, index: number) => x.values[x.values.length === 1 ? 0 : index] ?? 0
    const isWhole = values[0]?.dtype !== 'float32'
    const made = longer.values.map((_, index) => apply(at(a, index), at(b, index), isWhole))
    const shape = a.shape.length >= b.shape.length && longer === a ? a.shape : longer.shape
    return made.every((value) => value !== undefined) ? { shape, values: made } : undefined
  }

const ofNumbers = (apply: (a: number, b: number) => number) =>
  binary((a, b) => (typeof a === 'number' && typeof b === 'number' ? apply(a, b) : undefined))

const evaluators: Readonly<Record<string, Evaluator>> = {
  Constant: ({ node: { attributes } }) => {
    const { value, value_int: int, value_float: float, value_ints: ints } = attributes
    if (value?.type === 'tensor') return literalOf(value.value)
    if (ints?.type === 'integers') return vector(ints.value)
    if (int?.type === 'integer') return { shape: [], values: [int.value] }
    return float?.type === 'float' ? { shape: [], values: [float.value] } : undefined
  },
  Shape: ({ node, values: [x] }) =>
    x && vector(x.shape.slice(integerOf(node, 'start', 0), integerOf(node, 'end', x.shape.length))),
  Size: ({ values: [x] }) => x && { shape: [], values: [productOf(x.shape)] },
  Identity: ({ inputs: [x] }) => x,
  Cast: ({ inputs: [x], output }) =>
    x && {
      shape: x.shape,
      values: x.values.map((value) =>
        typeof value === 'number' && output.dtype.startsWith('int') ? Math.trunc(value) : value,
      ),
    },
  Floor: ({ inputs: [x] }) =>
    x && { ...x, values: x.values.map((v) => (typeof v === 'number' ? Math.floor(v) : v)) },
  Reshape: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Flatten: reshaped,
  Gather: ({ inputs: [x, indices] }) => {
    if (!x || !indices || x.shape.length !== 1) return undefined
    const values = indices.values.map((index) => x.values.at(Number(index)))
    const isKnown = values.every((value) => value !== undefined)
    return isKnown ? { shape: indices.shape, values } : undefined
  },
  Concat: ({ inputs }) =>
    inputs.every((x) => x?.shape.length === 1)
      ? vector(inputs.flatMap((x) => x?.values ?? []))
      : undefined,
  Slice: ({ inputs: [x, starts, ends, axes, steps] }) => {
    const [start, end, step] = [starts?.values[0], ends?.values[0], steps?.values[0] ?? 1]
    const isFirst = x && starts?.values.length === 1 && Number(axes?.values[0] ?? 0) === 0
    if (!isFirst || typeof start !== 'number' || typeof end !== 'number') return undefined
    const rows = x.shape[0] ?? 1
    const width = x.values.length / Math.max(1, rows)
    const from = start < 0 ? start + rows : start
    const to = end < 0 ? end + rows : end
    const by = Number(step)
    const kept: number[] = []
    if (by > 0) for (let i = Math.max(0, from); i < Math.min(to, rows); i += by) kept.push(i)
    else for (let i = Math.min(from, rows - 1); i > Math.max(to, -1); i += by) kept.push(i)
    const values = kept.flatMap((row) => x.values.slice(row * width, (row + 1) * width))
    return { shape: [kept.length, ...x.shape.slice(1)], values }
  },
  Transpose: ({ inputs: [x] }) => {
    if (x?.shape.length !== 2) return undefined
    const [rows = 1, columns = 1] = x.shape
    const at = (i: number) => (i % rows) * columns + Math.floor(i / rows)
    return { shape: [columns, rows], values: x.values.map((_, i) => x.values[at(i)] ?? 0) }
  },
  Add: binary((a, b) => sumOf([a, b])),
  Sub: binary((a, b) => (typeof b === 'number' ? sumOf([a, -b]) : a === b ? 0 : undefined)),
  Mul: binary((a, b) => productOf([a, b])),
  Div: binary((a, b, isWhole) => {
    const exact = quotientOf(a, b)
    return typeof exact === 'number' && isWhole ? Math.trunc(exact) : exact
  }),
  Equal: binary((a, b) => {
    if (a === b) return 1
    const [number, symbol] = typeof a === 'number' ? [a, b] : [b, a]
    if (typeof number === 'string') return undefined
    return typeof symbol === 'number' || number < 0 ? 0 : undefined
  }),
  Mod: ofNumbers((a, b) => a - b * Math.floor(a / b)),
  Max: ofNumbers(Math.max),
  Min: ofNumbers(Math.min),
  Where: ({ inputs: [which, a, b] }) => {
    if (!which || !a || !b) return undefined
    const at = (x: Literal, i: number) => x.values[x.values.length === 1 ? 0 : i] ?? 0
    return { ...which, values: which.values.map((v, i) => at(v ? a : b, i)) }
  },
  ConstantOfShape: ({ node, inputs: [target] }) => {
    const shape = target?.values.filter((extent) => typeof extent === 'number')
    if (!target || shape?.length !== target.values.length) return undefined
    const { value } = node.attributes
    const fill = value?.type === 'tensor' ? (literalOf(value.value)?.values[0] ?? 0) : 0
    const count = elementCount(shape)
    return count > ELEMENTS_MAX ? undefined : { shape, values: new Array(count).fill(fill) }
  },
  Range: ({ inputs }) => {
    const [start, limit, step] = inputs.map((x) => x?.values[0])
    if (typeof start !== 'number' || typeof limit !== 'number' || typeof step !== 'number') {
      return undefined
    }
    const count = Math.max(0, Math.ceil((limit - start) / step))
    if (count > ELEMENTS_MAX) return undefined
    return vector(Array.from({ length: count }, (_, i) => start + i * step))
  },
  ReduceProd: ({ inputs: [x], output }) =>
    x && {
      shape: output.shape.map(() => 1),
      values: [productOf(x.values)],
    },
}
