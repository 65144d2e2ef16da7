// Gradients of functions of one value: the gradient times the derivative.
import type { Builder, Handle } from '../../builder.ts'
import { floatOf, type Node } from '../../graph.ts'
import { castTo, type GradientRule, type GradientRules, times } from '../rule.ts'

/** The derivative at x, where y = f(x). */
type Derivative = (
  f: Formula,
  values: { readonly x: Handle; readonly y: Handle; readonly node: Node },
) => Handle

/** Arithmetic that reads like a formula. */
export interface Formula {
  number(value: number): Handle
  add(x: Handle, y: Handle): Handle
  sub(x: Handle, y: Handle): Handle
  mul(x: Handle, y: Handle): Handle
  div(x: Handle, y: Handle): Handle
  of(op: string, x: Handle): Handle
  /** 1 where x > y, 0 elsewhere. */
  above(x: Handle, y: Handle): Handle
}

export function formula(b: Builder): Formula {
  return {
    number: (value) => b.constant([value], []),
    add: (x, y) => b.node('Add', [x, y]),
    sub: (x, y) => b.node('Sub', [x, y]),
    mul: (x, y) => b.node('Mul', [x, y]),
    div: (x, y) => b.node('Div', [x, y]),
    of: (op, x) => b.node(op, [x]),
    above: (x, y) => castTo(b, b.node('Greater', [x, y], { dtype: 'bool' }), 'float32'),
  }
}

const square = (f: Formula, x: Handle): Handle => f.mul(x, x)
const inverse = (f: Formula, x: Handle): Handle => f.div(f.number(1), x)
/** `inside` where the mask is 1, `outside` where it is 0. */
const choose = (f: Formula, mask: Handle, inside: Handle, outside: Handle): Handle =>
  f.add(f.mul(mask, inside), f.mul(f.sub(f.number(1), mask), outside))
const isPositive = (f: Formula, x: Handle): Handle => f.above(x, f.number(0))

const derivatives: Readonly<Record<string, Derivative>> = {
  Reciprocal: (f, { y }) => f.of('Neg', square(f, y)),
  Erf: (f, { x }) =>
    f.mul(f.number(2 / Math.sqrt(Math.PI)), f.of('Exp', f.of('Neg', square(f, x)))),
  Sin: (f, { x }) => f.of('Cos', x),
  Cos: (f, { x }) => f.of('Neg', f.of('Sin', x)),
  Tan: (f, { y }) => f.add(f.number(1), square(f, y)),
  Asin: (f, { x }) => inverse(f, f.of('Sqrt', f.sub(f.number(1), square(f, x)))),
  Acos: (f, { x }) => f.div(f.number(-1), f.of('Sqrt', f.sub(f.number(1), square(f, x)))),
  Atan: (f, { x }) => inverse(f, f.add(f.number(1), square(f, x))),
  Sinh: (f, { x }) => f.of('Cosh', x),
  Cosh: (f, { x }) => f.of('Sinh', x),
  Asinh: (f, { x }) => inverse(f, f.of('Sqrt', f.add(square(f, x), f.number(1)))),
  Acosh: (f, { x }) => inverse(f, f.of('Sqrt', f.sub(square(f, x), f.number(1)))),
  Atanh: (f, { x }) => inverse(f, f.sub(f.number(1), square(f, x))),
  Softplus: (f, { x }) => f.of('Sigmoid', x),
  Softsign: (f, { x }) => inverse(f, square(f, f.add(f.number(1), f.of('Abs', x)))),
  LeakyRelu: (f, { x, node }) =>
    choose(f, isPositive(f, x), f.number(1), f.number(floatOf(node, 'alpha', 0.01))),
  // alpha (exp x - 1) below 0: its derivative is y + alpha.
  Elu: (f, { x, y, node }) =>
    choose(f, isPositive(f, x), f.number(1), f.add(y, f.number(floatOf(node, 'alpha', 1)))),
  Selu: (f, { x, y, node }) => {
    const alpha = floatOf(node, 'alpha', 1.673263192176819)
    const gamma = floatOf(node, 'gamma', 1.050701022148132)
    return choose(f, isPositive(f, x), f.number(gamma), f.add(y, f.number(alpha * gamma)))
  },
  // alpha (exp(x / alpha) - 1) below 0.
  Celu: (f, { x, y, node }) => {
    const below = f.add(f.div(y, f.number(floatOf(node, 'alpha', 1))), f.number(1))
    return choose(f, isPositive(f, x), f.number(1), below)
  },
  ThresholdedRelu: (f, { x, node }) => f.above(x, f.number(floatOf(node, 'alpha', 1))),
  // alpha x + beta, cut off at 0 and 1.
  HardSigmoid: (f, { y, node }) =>
    f.mul(
      f.mul(f.above(y, f.number(0)), f.above(f.number(1), y)),
      f.number(floatOf(node, 'alpha', 0.2)),
    ),
  // x hardSigmoid(x), with alpha 1/6 and beta 1/2: x / 3 + 1/2 between -3 and 3.
  HardSwish: (f, { x }) => {
    const slope = f.add(f.mul(x, f.number(1 / 3)), f.number(0.5))
    const isAbove = f.above(x, f.number(3))
    const isInside = f.sub(f.above(x, f.number(-3)), isAbove)
    return f.add(f.mul(isInside, slope), isAbove)
  },
}

const ruleFrom =
  (derivative: Derivative): GradientRule =>
  (b, { node, grad, output, inputs: [x] }) =>
    x ? [times(b, grad, derivative(formula(b), { x, y: output, node }))] : []

export const functionRules: GradientRules = Object.fromEntries(
  Object.entries(derivatives).map(([op, derivative]) => [op, ruleFrom(derivative)]),
)
