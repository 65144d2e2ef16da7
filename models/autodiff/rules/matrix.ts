// Gradients of matrix products.
import type { Builder, Handle } from '../../builder.ts'
import { float, floatOf, GraphError, integer, integerOf, integers } from '../../graph.ts'
import { subscriptsOf } from '../../shapes/matrix.ts'
import { type GradientRules, type RuleArguments, shapedLike, times, unbroadcast } from '../rule.ts'

const transposed = (b: Builder, x: Handle): Handle => {
  const { length } = x.shape
  const order = x.shape.map((_, axis) => axis)
  order.splice(length - 2, 2, length - 1, length - 2)
  return b.node('Transpose', [x], { attributes: { perm: integers(order) } })
}

export const matrixRules: GradientRules = {
  MatMul: matMulRule,
  // The gradient of an Einsum is an Einsum, with the result in the place of the operand.
  Einsum: (b, { node, grad, inputs, isWanted }) => {
    const { operands, result } = subscriptsOf(
      node,
      inputs.map((x) => x?.shape ?? []),
    )
    return inputs.map((x, own) => {
      if (!x || !isWanted(own)) return undefined
      const letters = operands[own] ?? ''
      if (new Set(letters).size < letters.length) {
        throw new GraphError(`node ${node.name}: Einsum of a diagonal (${letters}) has no gradient`)
      }
      const others = inputs.filter((_, at) => at !== own)
      const terms = [result, ...operands.filter((_, at) => at !== own)]
      const found = [...letters].filter((letter) => terms.some((term) => term.includes(letter)))
      const equation = `${terms.join(',')}->${found.join('')}`
      const part = b.node('Einsum', [grad, ...others], {
        attributes: { equation: { type: 'text', value: equation } },
      })
      const alone = [...letters].flatMap((letter, axis) => (found.includes(letter) ? [] : [axis]))
      if (alone.length === 0) return unbroadcast(b, part, x.shape)
      const raised = b.node('Unsqueeze', [part, b.integers(alone)])
      const target = b.node('Shape', [x], { dtype: 'int64' })
      return b.node('Expand', [raised, target], { shape: x.shape })
    })
  },
  Gemm: gemmRule,
}

/** Vectors are matrices of one row or column; a batch by one matrix is one long product. */
function matMulRule(
  b: Builder,
  { grad, inputs: [x, w], isWanted }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x || !w) return []
  const raise = (value: Handle, axis: number) => b.node('Unsqueeze', [value, b.integers([axis])])
  const [isRow, isColumn] = [x.shape.length === 1, w.shape.length === 1]
  const left = isRow ? raise(x, 0) : x
  const right = isColumn ? raise(w, 1) : w
  const column = isColumn ? raise(grad, -1) : grad
  const d = isRow ? raise(column, -2) : column
  const toX = () => unbroadcast(b, b.node('MatMul', [d, transposed(b, right)]), left.shape)
  const toW = () => {
    const [rows, columns] = right.shape
    const isFlat = left.shape.length > 2 && right.shape.length === 2
    if (!isFlat || typeof rows !== 'number' || typeof columns !== 'number') {
      return unbroadcast(b, b.node('MatMul', [transposed(b, left), d]), right.shape)
    }
    const flat = (value: Handle, width: number) =>
      b.node('Reshape', [value, b.integers([-1, width])])
    const attributes = { transA: integer(1) }
    return b.node('Gemm', [flat(left, rows), flat(d, columns)], { attributes })
  }
  return [
    isWanted(0) ? (isRow ? shapedLike(b, toX(), x) : toX()) : undefined,
    isWanted(1) ? (isColumn ? shapedLike(b, toW(), w) : toW()) : undefined,
  ]
}

/** Y = alpha A' B' + beta C: transposes stay inside Gemm, so no Transpose node is ever run. */
function gemmRule(
  b: Builder,
  { node, grad, inputs: [a, w, c], isWanted }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!a || !w) return []
  const [transA, transB] = [integerOf(node, 'transA', 0), integerOf(node, 'transB', 0)]
  const alpha = float(floatOf(node, 'alpha', 1))
  const gemm = (x: Handle, y: Handle, tx: number, ty: number): Handle =>
    b.node('Gemm', [x, y], { attributes: { alpha, transA: integer(tx), transB: integer(ty) } })
  const toA = () => (transA ? gemm(w, grad, transB, 1) : gemm(grad, w, 0, transB ? 0 : 1))
  const toB = () => (transB ? gemm(grad, a, 1, transA) : gemm(a, grad, transA ? 0 : 1, 0))
  const toC = (bias: Handle) => {
    const beta = floatOf(node, 'beta', 1)
    const summed = unbroadcast(b, grad, bias.shape)
    return beta === 1 ? summed : times(b, summed, b.constant([beta], []))
  }
  return [
    isWanted(0) ? toA() : undefined,
    isWanted(1) ? toB() : undefined,
    c && isWanted(2) ? toC(c) : undefined,
  ]
}
