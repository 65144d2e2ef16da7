// Shapes of what works element by element, with broadcasting.
import { type Extent, GraphError } from '../graph.ts'
import type { OutputsRules, Shape, ShapeRule, ShapeRules } from './rule.ts'

export const same: ShapeRule = (_node, [x = []]) => x
const broadcast: ShapeRule = (node, inputs) =>
  inputs.reduce((a, b) => broadcastShapes(a, b, node.name))

const functions =
  'Abs Acos Acosh Asin Asinh Atan Atanh Cast Ceil Celu Clip Cos Cosh CumSum Elu Erf Exp Floor Gelu HardSigmoid ' +
  'HardSwish Hardmax Identity IsInf IsNaN LeakyRelu Log LogSoftmax LpNormalization Mish Neg Not Reciprocal Relu ' +
  'ReverseSequence Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ' +
  'ThresholdedRelu Trilu EyeLike MeanVarianceNormalization'
const broadcasting =
  'Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor'

const each = (ops: string, rule: ShapeRule): ShapeRules =>
  Object.fromEntries(ops.split(' ').map((op) => [op, rule]))

export const elementwiseShapes: ShapeRules = {
  ...each(functions, same),
  ...each(broadcasting, broadcast),
}

export const elementwiseOutputs: OutputsRules = {
  Dropout: (_node, [x = []]) => [x, x],
}

export function broadcastShapes(a: Shape, b: Shape, at: string): Shape {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, index): Extent => {
    const x = a[index - rank + a.length] ?? 1
    const y = b[index - rank + b.length] ?? 1
    if (x === y || y === 1) return x
    if (x === 1) return y
    // A symbol may turn out equal at run time; two different numbers may not.
    if (typeof x === 'string' || typeof y === 'string') return typeof x === 'string' ? y : x
    throw new GraphError(`${at}: shapes ${a.join('x')} and ${b.join('x')} do not go together`)
  })
}
