// The gradient of max-pooling, axis by axis: a pool over a plane is a pool along rows, then one along
// columns. Of equal maxima the first gets the gradient: the first row that has one, and in it the first
// column, which is PyTorch's choice too. The operator's own Indices cost several times as much.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integers, integersOf, type Node } from '../../graph.ts'
import { windowOf } from '../../shapes/windows.ts'
import { castTo, type RuleArguments, times } from '../rule.ts'
import { extentOf } from './sliding.ts'
import { keepInside, reshapeLike, shiftFlat } from './rows.ts'

/** A pool along one axis. */
interface AxisPool {
  readonly axis: number
  readonly size: number
  readonly stride: number
  readonly dilation: number
  /** Padding before, and as much after as the last window reaches beyond the input. */
  readonly before: number
  readonly after: number
  readonly outputs: number
}

export function maxPoolRule(
  b: Builder,
  { node, grad, output, inputs: [x] }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x) return []
  const pools = axisPools(node, x, output)
  // The values between: rows first. The last is the output, which is there already.
  const values = [x]
  for (const [index, pool] of pools.entries()) {
    const isLast = index === pools.length - 1
    const from = values[index]
    if (from) values.push(isLast ? output : poolAlong(b, from, pool))
  }
  const gradient = pools.reduceRight((d, pool, index) => {
    const [from, to] = [values[index], values[index + 1]]
    if (!from || !to) return d
    const step = { x: from, y: to, d }
    return isAlongRows(step, pool) ? spreadAlongRows(b, step, pool) : spreadAlong(b, step, pool)
  }, grad)
  return [gradient]
}

/** Last axis first; an axis that is not pooled is left out. */
function axisPools(node: Node, x: Handle, y: Handle): AxisPool[] {
  const spatial = x.shape.slice(2)
  const { kernel, strides, dilations, pads } = windowOf(
    node,
    integersOf(node, 'kernel_shape') ?? [],
    spatial,
  )
  const pools = kernel.map((size, index): AxisPool => {
    const [stride = 1, dilation = 1] = [strides[index], dilations[index]]
    const outputs = extentOf(node, y, index + 2)
    const before = pads[index] ?? 0
    const reached = (outputs - 1) * stride + dilation * (size - 1) + 1 - before
    const after = Math.max(0, reached - extentOf(node, x, index + 2))
    return { axis: index + 2, size, stride, dilation, before, after, outputs }
  })
  return pools.filter(({ size, stride }) => size * stride > 1).reverse()
}

function poolAlong(b: Builder, x: Handle, pool: AxisPool): Handle {
  const rank = x.shape.length - 2
  const along = (own: number, others: number): number[] =>
    Array.from({ length: rank }, (_, index) => (index === pool.axis - 2 ? own : others))
  return b.node('MaxPool', [x], {
    attributes: {
      kernel_shape: integers(along(pool.size, 1)),
      strides: integers(along(pool.stride, 1)),
      dilations: integers(along(pool.dilation, 1)),
      pads: integers([...along(pool.before, 0), ...along(pool.after, 0)]),
    },
    shape: x.shape.map((extent, axis) => (axis === pool.axis ? pool.outputs : extent)),
  })
}

/** Less than every float that a window may hold. */
const LEAST = -3.4e38

interface PoolStep {
  readonly x: Handle
  readonly y: Handle
  readonly d: Handle
}

/** Rows that fall into as many strides as there are outputs: then shifts of the flat tensor do. */
function isAlongRows({ x }: PoolStep, { axis, stride, outputs }: AxisPool): boolean {
  const { length } = x.shape
  return length === 4 && axis === length - 1 && Number(x.shape[axis]) === stride * outputs
}

function spreadAlongRows(b: Builder, { x, y, d }: PoolStep, pool: AxisPool): Handle {
  const { size, stride, dilation, before } = pool
  const phases = unweave(b, x, y, stride)
  const gradients: (Handle | undefined)[] = phases.map(() => undefined)
  let rest = d
  for (let tap = 0; tap < size; tap++) {
    const offset = tap * dilation - before
    const by = Math.floor(offset / stride)
    const phase = offset - by * stride
    const seen = phases[phase]
    if (!seen) continue
    const isLast = tap === size - 1
    // Whichever was not the maximum before is it now.
    const share = isLast ? rest : keepInside(b, sharedBy(b, shiftFlat(b, seen, by), y, rest), by)
    if (!isLast) rest = b.node('Sub', [rest, share])
    const back = shiftFlat(b, share, -by)
    const sum = gradients[phase]
    gradients[phase] = sum ? b.node('Add', [sum, back]) : back
  }
  const whole = gradients.map((part) => part ?? times(b, d, b.constant([0], [])))
  const [only] = whole
  if (stride === 1 && only) return only
  const columns = whole.map((part) => b.node('Reshape', [part, b.integers([-1, 1])]))
  const woven = b.node('Concat', columns, { attributes: { axis: integer(1) } })
  return reshapeLike(b, woven, x.shape)
}

/** Elements of x that lie `stride` apart, as planes of the shape of y. */
function unweave(b: Builder, x: Handle, y: Handle, stride: number): readonly Handle[] {
  if (stride === 1) return [x]
  const pairs = b.node('Reshape', [x, b.integers([-1, stride])])
  const planes = b.node('Transpose', [pairs], { attributes: { perm: integers([1, 0]) } })
  return Array.from({ length: stride }, (_, phase) => {
    const inputs = [[phase], [phase + 1], [0]].map((values) => b.integers(values))
    return reshapeLike(b, b.node('Slice', [planes, ...inputs]), y.shape)
  })
}

/** What of `rest` goes to those that are the maximum. */
function sharedBy(b: Builder, seen: Handle, y: Handle, rest: Handle): Handle {
  return times(b, castTo(b, b.node('Equal', [seen, y], { dtype: 'bool' }), 'float32'), rest)
}

/** From the gradient of a pool along one axis to that of its input. */
function spreadAlong(b: Builder, { x, y, d }: PoolStep, pool: AxisPool): Handle {
  const { axis, size, stride, dilation, before, after, outputs } = pool
  const padded = padAlong(b, x, { axis, before, after, fill: LEAST })
  const shares: Handle[] = []
  let rest = d
  for (let tap = 0; tap < size; tap++) {
    if (tap === size - 1) {
      // Whichever was not the maximum before is it now.
      shares.push(rest)
      break
    }
    const start = tap * dilation
    const end = start + (outputs - 1) * stride + 1
    const isWhole = start === 0 && stride === 1 && end === padded.shape[axis]
    const seen = isWhole
      ? padded
      : b.node('Slice', [padded, ...[[start], [end], [axis], [stride]].map((v) => b.integers(v))])
    const share = sharedBy(b, seen, y, rest)
    shares.push(share)
    rest = b.node('Sub', [rest, share])
  }
  return gather(b, { shares, x }, pool)
}

/** Adds up what each element gets from the windows that it stands in, tap by tap. */
function gather(
  b: Builder,
  { shares, x }: { readonly shares: readonly Handle[]; readonly x: Handle },
  { axis, stride, dilation, before, outputs }: AxisPool,
): Handle {
  const extent = Number(x.shape[axis])
  // Elements of the padded input that lie a whole number of strides apart form a phase.
  const length = Math.ceil((before + extent) / stride)
  const needed = shares.map((_, tap) => Math.floor((tap * dilation) / stride) + outputs)
  const whole = Math.max(length, ...needed)
  const phases = Array.from({ length: stride }, (_, phase) => {
    const parts = shares.flatMap((share, tap) => {
      const at = tap * dilation
      if (at % stride !== phase) return []
      const shift = Math.floor(at / stride)
      const fill = { axis, before: shift, after: whole - outputs - shift, fill: 0 }
      return [padAlong(b, share, fill)]
    })
    return parts.length > 0 ? parts.reduce((sum, part) => b.node('Add', [sum, part])) : undefined
  })
  const woven = weave(b, phases, { axis, whole, like: x })
  const [starts, ends] = [before, before + extent]
  if (starts === 0 && ends === woven.shape[axis]) return woven
  return b.node('Slice', [woven, ...[[starts], [ends], [axis]].map((values) => b.integers(values))])
}

/** Phase 0, phase 1, ..., element by element. */
function weave(
  b: Builder,
  phases: readonly (Handle | undefined)[],
  { axis, whole, like }: { readonly axis: number; readonly whole: number; readonly like: Handle },
): Handle {
  const [first] = phases
  if (phases.length === 1 && first) return first
  const known = phases.find((phase) => phase !== undefined)
  const columns = phases.map((phase) => {
    // No tap falls on it: a stride wider than the window.
    const own = phase ?? (known && times(b, known, b.constant([0], [])))
    return b.node('Unsqueeze', [own, b.integers([axis + 1])])
  })
  const side = b.node('Concat', columns, { attributes: { axis: integer(axis + 1) } })
  const shape = like.shape.map((extent, index) => (index === axis ? whole * phases.length : extent))
  const target = shape.map((extent, index) => (index === 0 ? 0 : Number(extent)))
  return b.node('Reshape', [side, b.integers(target)], { shape })
}

function padAlong(
  b: Builder,
  x: Handle,
  {
    axis,
    before,
    after,
    fill,
  }: {
    readonly axis: number
    readonly before: number
    readonly after: number
    readonly fill: number
  },
): Handle {
  if (before === 0 && after === 0) return x
  const rank = x.shape.length
  const pads = new Array<number>(2 * rank).fill(0)
  pads[axis] = before
  pads[axis + rank] = after
  return b.node('Pad', [x, b.integers(pads), b.constant([fill], [])])
}
