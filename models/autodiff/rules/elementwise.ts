// Gradients of operators that work element by element, with broadcasting.
import type { Builder, Handle } from '../../builder.ts'
import {
  type GradientRules,
  maskOf,
  number,
  type RuleArguments,
  times,
  unbroadcast,
} from '../rule.ts'

export const elementwiseRules: GradientRules = {
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
  // d x^p / dx = p x^(p-1); d x^p / dp = x^p log x, which is no number where x < 0.
  Pow: (b, { grad, inputs: [x, p], output, isWanted }) => {
    if (!x || !p) return []
    const power = () => b.node('Pow', [x, b.node('Sub', [p, b.constant([1], [])])])
    const toX = () => unbroadcast(b, times(b, grad, times(b, p, power())), x.shape)
    const toP = () => unbroadcast(b, times(b, grad, times(b, output, b.node('Log', [x]))), p.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toP() : undefined]
  },
  Max: extreme,
  Min: extreme,
  Sum: (b, { grad, inputs }) => inputs.map((x) => x && unbroadcast(b, grad, x.shape)),
  Mean: (b, { grad, inputs }) => {
    const share = b.node('Div', [grad, number(b, inputs.length)])
    return inputs.map((x) => x && unbroadcast(b, share, x.shape))
  },
  Where: (b, { grad, inputs: [which, x, y], isWanted }) => {
    const zero = number(b, 0)
    const toX = () => x && unbroadcast(b, b.node('Where', [which, grad, zero]), x.shape)
    const toY = () => y && unbroadcast(b, b.node('Where', [which, zero, grad]), y.shape)
    return [undefined, isWanted(1) ? toX() : undefined, isWanted(2) ? toY() : undefined]
  },
  // x - y trunc(x / y), as fmod of C.
  Mod: (b, { grad, inputs: [x, y], isWanted }) => {
    if (!x || !y) return []
    const toY = () => {
      const ratio = b.node('Div', [x, y])
      const whole = times(b, b.node('Sign', [ratio]), b.node('Floor', [b.node('Abs', [ratio])]))
      return unbroadcast(b, b.node('Neg', [times(b, grad, whole)]), y.shape)
    }
    return [unbroadcast(b, grad, x.shape), isWanted(1) ? toY() : undefined]
  },
}

/** Inputs that are equally large (or small) share the gradient. */
function extreme(b: Builder, { grad, inputs, output }: RuleArguments): (Handle | undefined)[] {
  const masks = inputs.map((x) => x && maskOf(b, 'Equal', x, output))
  const share = b.node('Div', [grad, b.node('Sum', masks)])
  return inputs.map((x, index) => {
    const mask = masks[index]
    return x && mask && unbroadcast(b, times(b, share, mask), x.shape)
  })
}
