// Gradients of matrix products.
import type { Builder, Handle } from '../../builder.ts'
import { float, floatOf, integer, integerOf, integers } from '../../graph.ts'
import { type GradientRules, type RuleArguments, times, unbroadcast } from '../rule.ts'

const transposed = (b: Builder, x: Handle): Handle => {
  const { length } = x.shape
  const order = x.shape.map((_, axis) => axis)
  order.splice(length - 2, 2, length - 1, length - 2)
  return b.node('Transpose', [x], { attributes: { perm: integers(order) } })
}

export const matrixRules: GradientRules = {
  MatMul: (b, { grad, inputs: [x, w], isWanted }) => {
    if (!x || !w) return []
    const toX = () => unbroadcast(b, b.node('MatMul', [grad, transposed(b, w)]), x.shape)
    const toW = () => unbroadcast(b, b.node('MatMul', [transposed(b, x), grad]), w.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toW() : undefined]
  },
  Gemm: gemmRule,
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
