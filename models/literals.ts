// What is known of integer tensors before a graph runs: constants, shapes, and what exporters compute from
// them (Shape, Gather, Concat, Mul, ... up to the target of a Reshape). Open extents stay symbols.
import type { Tensor } from '../protocol/tensor.ts'
import { type Extent, integerOf, type Node, type Value } from './graph.ts'
import { productOf, quotientOf, sumOf } from './shapes/extents.ts'
import type { Literals } from './shapes/rule.ts'

type Known = readonly Extent[]

export interface LiteralEvaluator {
  readonly literals: Literals
  /** Learns what a node makes of what is known. */
  learn(node: Node, inputs: readonly (Value | undefined)[]): void
}

/** Longer ones are data, not shapes. */
const LENGTH_MAX = 64

export function literalEvaluator(initializers: ReadonlyMap<string, Tensor>): LiteralEvaluator {
  const learnt = new Map<string, Known>()
  const extents = (name: string): Known | undefined => {
    const known = learnt.get(name)
    if (known) return known
    const tensor = initializers.get(name)
    return tensor && numbersOf(tensor)
  }
  const literals: Literals = Object.assign(
    (name: string): number[] | undefined => {
      const known = extents(name)
      const isPlain = known?.every((value): value is number => typeof value === 'number')
      return isPlain ? ([...known] as number[]) : undefined
    },
    { extents },
  )
  return {
    literals,
    learn(node, inputs) {
      const rule = Object.hasOwn(rules, node.op) ? rules[node.op] : undefined
      const [output] = node.outputs
      if (!rule || !output) return
      const known = rule(node, node.inputs.map(extents), inputs)
      if (known && known.length <= LENGTH_MAX) learnt.set(output, known)
    },
  }
}

function numbersOf({ dtype, shape, bytes }: Tensor): Known | undefined {
  if (shape.length > 1 || (shape[0] ?? 1) > LENGTH_MAX) return undefined
  // Not `slice`: that of a Buffer, which files are read into, copies nothing.
  const { buffer, byteOffset, byteLength } = new Uint8Array(bytes)
  switch (dtype) {
    case 'int64':
      return Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number)
    case 'int32':
      return Array.from(new Int32Array(buffer, byteOffset, byteLength / 4))
    case 'bool':
      return Array.from(bytes)
    case 'float32':
      // The scales of Resize.
      return Array.from(new Float32Array(buffer, byteOffset, byteLength / 4))
    default:
      return undefined
  }
}

type Rule = (
  node: Node,
  known: readonly (Known | undefined)[],
  inputs: readonly (Value | undefined)[],
) => Known | undefined

const copied: Rule = (_node, [x]) => x

/** With broadcasting of single numbers, which is all that shapes need. */
function pairwise(combine: (a: Extent, b: Extent) => Extent | undefined): Rule {
  return (_node, [x, y]) => {
    if (!x || !y) return undefined
    const length = Math.max(x.length, y.length)
    const made = Array.from({ length }, (_, i) => {
      const [a, b] = [x[x.length === 1 ? 0 : i], y[y.length === 1 ? 0 : i]]
      return a === undefined || b === undefined ? undefined : combine(a, b)
    })
    return made.every((value): value is Extent => value !== undefined) ? made : undefined
  }
}

const rules: Readonly<Record<string, Rule>> = {
  Identity: copied,
  Cast: copied,
  Squeeze: copied,
  Unsqueeze: copied,
  Reshape: copied,
  Shape: (node, _known, [x]) => {
    if (!x) return undefined
    return x.shape.slice(integerOf(node, 'start', 0), integerOf(node, 'end', x.shape.length))
  },
  Size: (_node, _known, [x]) => x && [productOf(x.shape)],
  Constant: ({ attributes: { value, value_int: int, value_ints: ints } }) => {
    if (value?.type === 'tensor') return numbersOf(value.value)
    if (int?.type === 'integer') return [int.value]
    return ints?.type === 'integers' ? ints.value : undefined
  },
  ConstantOfShape: ({ attributes: { value } }, [shape]) => {
    const [length, ...others] = shape ?? []
    if (typeof length !== 'number' || others.length > 0) return undefined
    const fill = value?.type === 'tensor' ? numbersOf(value.value)?.[0] : 0
    return fill === undefined || length > LENGTH_MAX ? undefined : new Array(length).fill(fill)
  },
  Gather: (_node, [x, indices]) => {
    if (!x || !indices) return undefined
    const picked = indices.map((index) => x.at(Number(index)))
    return picked.every((value): value is Extent => value !== undefined) ? picked : undefined
  },
  Concat: (_node, known) => {
    const parts = known.filter((part): part is Known => part !== undefined)
    return parts.length === known.length ? parts.flat() : undefined
  },
  Slice: (_node, [x, starts, ends, , steps = [1]]) => {
    const [start, end, step] = [starts?.[0], ends?.[0], steps[0]]
    if (!x || typeof start !== 'number' || typeof end !== 'number' || step !== 1) return undefined
    return x.slice(start, end)
  },
  Range: (_node, [start, limit, step]) => {
    const [from, to, by] = [start?.[0], limit?.[0], step?.[0]]
    if (typeof from !== 'number' || typeof to !== 'number' || typeof by !== 'number')
      return undefined
    const length = Math.max(0, Math.ceil((to - from) / by))
    return length > LENGTH_MAX ? undefined : Array.from({ length }, (_, i) => from + i * by)
  },
  ReduceProd: (_node, [x]) => x && [productOf(x)],
  Add: pairwise((a, b) => sumOf([a, b])),
  Sub: pairwise((a, b) =>
    typeof a === 'number' && typeof b === 'number' ? a - b : a === b ? 0 : undefined,
  ),
  Mul: pairwise((a, b) => productOf([a, b])),
  Div: pairwise((a, b) =>
    typeof a === 'number' && typeof b === 'number' ? Math.trunc(a / b) : quotientOf(a, b),
  ),
  Equal: pairwise((a, b) => (typeof a === typeof b ? Number(a === b) : 0)),
  Where: (_node, [condition, x, y]) => {
    if (!condition || !x || !y) return undefined
    const at = (values: Known, i: number) => values[values.length === 1 ? 0 : i] ?? 1
    return condition.map((isTrue, i) => (isTrue === 1 ? at(x, i) : at(y, i)))
  },
}
