// Gradients of functions of one number, element by element, and of the nonlinearities among them.
import type { Builder, Handle } from '../../builder.ts'
import { floatOf, GraphError, integerOf } from '../../graph.ts'
import {
  castTo,
  type GradientRule,
  type GradientRules,
  maskOf,
  number,
  times,
  unbroadcast,
  zerosLike,
} from '../rule.ts'

/** The derivative of y = f(x), which the gradient is multiplied by. */
type Derivative = (b: Builder, x: Handle, y: Handle) => Handle

const by =
  (derivative: Derivative): GradientRule =>
  (b, { grad, inputs: [x], output }) => [x && times(b, grad, derivative(b, x, output))]

/** Gradient over a denominator. */
const over =
  (denominator: Derivative): GradientRule =>
  (b, { grad, inputs: [x], output }) => [x && b.node('Div', [grad, denominator(b, x, output)])]

const plus = (b: Builder, x: Handle, value: number) => b.node('Add', [x, number(b, value)])
const square = (b: Builder, x: Handle) => times(b, x, x)
/** 1 - x. */
const complement = (b: Builder, x: Handle) => b.node('Sub', [number(b, 1), x])
const root = (b: Builder, x: Handle) => b.node('Sqrt', [x])
/** A step function: its gradient is 0 wherever it has one. */
const steps: GradientRule = (b, { inputs: [x] }) => [x && zerosLike(b, x)]
const positive = (b: Builder, x: Handle) => maskOf(b, 'Greater', x, number(b, 0))

/** Above zero `slope`; below, a curve whose derivative is `below`. */
const bent = (b: Builder, x: Handle, slope: number, below: Handle) =>
  b.node('Where', [b.node('Greater', [x, number(b, 0)]), number(b, slope), below])

export const functionRules: GradientRules = {
  Identity: (_b, { grad }) => [grad],
  Neg: (b, { grad }) => [b.node('Neg', [grad])],
  Abs: by((b, x) => b.node('Sign', [x])),
  Exp: by((_b, _x, y) => y),
  Log: over((_b, x) => x),
  Sqrt: (b, { grad, output }) => [b.node('Div', [times(b, grad, number(b, 0.5)), output])],
  Reciprocal: by((b, _x, y) => b.node('Neg', [square(b, y)])),
  // 2 / sqrt(pi) exp(-x^2)
  Erf: by((b, x) => {
    const bell = b.node('Exp', [b.node('Neg', [square(b, x)])])
    return times(b, bell, number(b, 2 / Math.sqrt(Math.PI)))
  }),
  Sin: by((b, x) => b.node('Cos', [x])),
  Cos: by((b, x) => b.node('Neg', [b.node('Sin', [x])])),
  Tan: by((b, _x, y) => plus(b, square(b, y), 1)),
  Asin: over((b, x) => root(b, complement(b, square(b, x)))),
  Acos: over((b, x) => b.node('Neg', [root(b, complement(b, square(b, x)))])),
  Atan: over((b, x) => plus(b, square(b, x), 1)),
  Sinh: by((b, x) => b.node('Cosh', [x])),
  Cosh: by((b, x) => b.node('Sinh', [x])),
  Asinh: over((b, x) => root(b, plus(b, square(b, x), 1))),
  Acosh: over((b, x) => root(b, plus(b, square(b, x), -1))),
  Atanh: over((b, x) => complement(b, square(b, x))),
  Floor: steps,
  Ceil: steps,
  Round: steps,
  Sign: steps,
  // ORT runs Greater + Where slower than Sign: relu's output is 0 or above, so its sign is the mask.
  // Its output is 0 or above 0: as a truth it is the mask. Four times as fast as Sign, or Greater and Where.
  Relu: by((b, _x, y) => castTo(b, castTo(b, y, 'bool'), 'float32')),
  Sigmoid: by((b, _x, y) => times(b, y, complement(b, y))),
  Tanh: by((b, _x, y) => complement(b, square(b, y))),
  LeakyRelu: (b, { node, grad, inputs: [x] }) => [
    x && times(b, grad, bent(b, x, 1, number(b, floatOf(node, 'alpha', 0.01)))),
  ],
  PRelu: (b, { grad, inputs: [x, slope], isWanted }) => {
    if (!x || !slope) return []
    const below = () => times(b, grad, b.node('Min', [x, number(b, 0)]))
    return [
      times(b, grad, bent(b, x, 1, slope)),
      isWanted(1) ? unbroadcast(b, below(), slope.shape) : undefined,
    ]
  },
  // Below zero y = alpha (e^x - 1), so the derivative is y + alpha.
  Elu: (b, { node, grad, inputs: [x], output }) => [
    x && times(b, grad, bent(b, x, 1, plus(b, output, floatOf(node, 'alpha', 1)))),
  ],
  Selu: (b, { node, grad, inputs: [x], output }) => {
    const alpha = floatOf(node, 'alpha', 1.6732631921768188)
    const gamma = floatOf(node, 'gamma', 1.0507010221481323)
    return [x && times(b, grad, bent(b, x, gamma, plus(b, output, alpha * gamma)))]
  },
  Celu: (b, { node, grad, inputs: [x] }) => {
    const alpha = number(b, floatOf(node, 'alpha', 1))
    return [x && times(b, grad, bent(b, x, 1, b.node('Exp', [b.node('Div', [x, alpha])])))]
  },
  Softplus: by((b, x) => b.node('Sigmoid', [x])),
  Softsign: over((b, x) => square(b, plus(b, b.node('Abs', [x]), 1))),
  HardSigmoid: (b, { node, grad, output }) => {
    const isInside = times(b, positive(b, output), maskOf(b, 'Less', output, number(b, 1)))
    return [times(b, grad, times(b, isInside, number(b, floatOf(node, 'alpha', 0.2))))]
  },
  // x / 6 + 1 / 2 is clipped to [0, 1] and multiplied by x.
  HardSwish: by((b, x) => {
    const isInside = maskOf(b, 'Less', b.node('Abs', [x]), number(b, 3))
    const slope = plus(b, b.node('Div', [x, number(b, 3)]), 0.5)
    const isAbove = maskOf(b, 'GreaterOrEqual', x, number(b, 3))
    return b.node('Add', [times(b, isInside, slope), isAbove])
  }),
  ThresholdedRelu: (b, { node, grad, inputs: [x] }) => [
    x && times(b, grad, maskOf(b, 'Greater', x, number(b, floatOf(node, 'alpha', 1)))),
  ],
  Shrink: (b, { node, grad, inputs: [x] }) => {
    if (!x) return []
    const edge = number(b, floatOf(node, 'lambd', 0.5))
    return [times(b, grad, maskOf(b, 'Greater', b.node('Abs', [x]), edge))]
  },
  Clip: (b, { grad, inputs: [x], output }) => [
    x && times(b, grad, maskOf(b, 'Equal', x, output)),
    undefined,
    undefined,
  ],
  Cast: (b, { grad, inputs: [x] }) => {
    if (!x || x.dtype === grad.dtype) return [grad]
    const to = { float32: 1, float16: 10, float64: 11 }[x.dtype as 'float32']
    return [b.node('Cast', [grad], { attributes: { to: { type: 'integer', value: to } } })]
  },
  // While training the mask says what was kept, and what was is scaled by 1 / (1 - ratio).
  Dropout: (b, { node, grad, outputs, inputs: [, ratio] }) => {
    const [isTraining] = node.inputs[2] ? (b.literals(node.inputs[2]) ?? [1]) : [0]
    if (!isTraining) return [grad]
    const mask = outputs[1]
    if (!mask) {
      throw new GraphError(`node ${node.name}: Dropout while training needs its output mask`)
    }
    const kept = b.node('Cast', [mask], { attributes: { to: { type: 'integer', value: 1 } } })
    const scale = complement(b, ratio ?? number(b, 0.5))
    return [b.node('Div', [times(b, grad, kept), scale])]
  },
  CumSum: (b, { node, grad, inputs: [, axis] }) => {
    const reverse = 1 - integerOf(node, 'reverse', 0)
    const attributes = {
      ...node.attributes,
      reverse: { type: 'integer', value: reverse } as const,
    }
    return [b.node('CumSum', [grad, axis], { attributes }), undefined]
  },
}
