// What a gradient rule is given and gives, and the small things that many rules share.
import type { Builder, Handle } from '../builder.ts'
import { type Extent, integer, type Node } from '../graph.ts'

export interface RuleArguments {
  readonly node: Node
  /** undefined = an optional input left out. */
  readonly inputs: readonly (Handle | undefined)[]
  /** Of the first output, which most operators have alone. */
  readonly output: Handle
  readonly grad: Handle
  /** undefined = an optional output left out. */
  readonly outputs: readonly (Handle | undefined)[]
  /** Per output; undefined = the loss does not depend on it. Rules of several outputs read these. */
  readonly grads: readonly (Handle | undefined)[]
  /** Whether input i leads to a wanted parameter: the others need no gradient. */
  readonly isWanted: (input: number) => boolean
}

/** Pure: it only calls the builder. Per input its gradient; `undefined`: no gradient flows there. */
export type GradientRule = (b: Builder, args: RuleArguments) => readonly (Handle | undefined)[]

export type GradientRules = Readonly<Record<string, GradientRule>>

/** Sums a gradient over the axes along which its value was broadcast. */
export function unbroadcast(b: Builder, grad: Handle, shape: readonly Extent[]): Handle {
  const lead = grad.shape.length - shape.length
  const axes = grad.shape
    .map((extent, axis) => ({ extent, axis, own: axis < lead ? 1 : shape[axis - lead] }))
    .filter(({ extent, axis, own }) => axis < lead || (own === 1 && extent !== 1))
    .map(({ axis }) => axis)
  if (axes.length === 0) return grad
  const sum = (x: Handle, over: readonly number[], keepdims: number): Handle =>
    b.node('ReduceSum', [x, b.integers(over)], { attributes: { keepdims: integer(keepdims) } })
  const inner = axes.filter((axis) => axis >= lead)
  const outer = axes.filter((axis) => axis < lead)
  const kept = inner.length > 0 ? sum(grad, inner, 1) : grad
  return outer.length > 0 ? sum(kept, outer, 0) : kept
}

export const times = (b: Builder, x: Handle, y: Handle): Handle => b.node('Mul', [x, y])

/** Numbers that ONNX gives the dtypes. */
const castTypes = { float32: 1, int64: 7, bool: 9 } as const

export const castTo = (b: Builder, x: Handle, dtype: keyof typeof castTypes): Handle =>
  b.node('Cast', [x], { attributes: { to: integer(castTypes[dtype]) }, dtype })

/** One float32 number. */
export const number = (b: Builder, value: number): Handle => b.constant([value], [])

/** 1 where the comparison holds, 0 elsewhere. */
export const maskOf = (b: Builder, op: string, x: Handle, y: Handle): Handle =>
  castTo(b, b.node(op, [x, y], { dtype: 'bool' }), 'float32')

export function zerosLike(b: Builder, { name, shape }: Handle): Handle {
  const target = b.node('Shape', [b.value(name)], { dtype: 'int64' })
  return b.node('ConstantOfShape', [target], { dtype: 'float32', shape })
}

/** A gradient in the shape of the value whose elements it has. */
export function shapedLike(b: Builder, grad: Handle, x: Handle): Handle {
  const symbols = x.shape.filter((extent) => typeof extent === 'string').length
  const target = x.shape.map((extent) => (typeof extent === 'string' ? -1 : extent))
  const shape = symbols > 1 ? b.node('Shape', [x], { dtype: 'int64' }) : b.integers(target)
  return b.node('Reshape', [grad, shape], { shape: x.shape })
}
