// Gradients of what chooses between values, or counts several of them alike.
import type { Builder, Handle } from '../../builder.ts'
import { GraphError } from '../../graph.ts'
import { castTo, type GradientRule, type GradientRules, times, unbroadcast } from '../rule.ts'

const mask = (b: Builder, op: string, x: Handle, y: Handle): Handle =>
  castTo(b, b.node(op, [x, y], { dtype: 'bool' }), 'float32')

/** Of equal greatest (or least) values each gets the same share, as in PyTorch. */
const extremeRule: GradientRule = (b, { grad, output, inputs, isWanted }) => {
  const masks = inputs.map((x) => x && mask(b, 'Equal', x, output))
  const ties = masks.reduce((sum, each) => (sum && each ? b.node('Add', [sum, each]) : each))
  const share = ties && b.node('Div', [grad, ties])
  return inputs.map((x, index) => {
    const own = masks[index]
    return x && own && share && isWanted(index)
      ? unbroadcast(b, times(b, share, own), x.shape)
      : undefined
  })
}

const evenly =
  (shareOf: (count: number) => number): GradientRule =>
  (b, { grad, inputs, isWanted }) => {
    const share = shareOf(inputs.length)
    const scaled = share === 1 ? grad : times(b, grad, b.constant([share], []))
    return inputs.map(
      (x, index) => x && (isWanted(index) ? unbroadcast(b, scaled, x.shape) : undefined),
    )
  }

/** Steps have no slope but at their edges. */
const flatRule: GradientRule = (b, { grad }) => [times(b, grad, b.constant([0], []))]

export const choiceRules: GradientRules = {
  Max: extremeRule,
  Min: extremeRule,
  Sum: evenly(() => 1),
  Mean: evenly((count) => 1 / count),
  Where: (b, { grad, inputs: [condition, x, y], isWanted }) => {
    if (!condition || !x || !y) return []
    const zero = b.constant([0], [])
    const { shape } = grad
    const dtype = 'float32'
    const toX = () => b.node('Where', [condition, grad, zero], { shape, dtype })
    const toY = () => b.node('Where', [condition, zero, grad], { shape, dtype })
    return [
      undefined,
      isWanted(1) ? unbroadcast(b, toX(), x.shape) : undefined,
      isWanted(2) ? unbroadcast(b, toY(), y.shape) : undefined,
    ]
  },
  PRelu: (b, { grad, inputs: [x, slope], isWanted }) => {
    if (!x || !slope) return []
    const isAbove = mask(b, 'Greater', x, b.constant([0], []))
    const isBelow = b.node('Sub', [b.constant([1], []), isAbove])
    const toX = () => times(b, grad, b.node('Add', [isAbove, times(b, isBelow, slope)]))
    const toSlope = () => unbroadcast(b, times(b, grad, times(b, isBelow, x)), slope.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toSlope() : undefined]
  },
  Dropout: (b, { node, grad, outputs, inputs: [, ratio, training] }) => {
    const isTraining = training ? b.known(training) : [0]
    if (isTraining?.[0] === 0) return [grad]
    const kept = outputs[1]
    if (!kept || isTraining === undefined) {
      throw new GraphError(
        `node ${node.name}: Dropout while training has no mask as its second output`,
      )
    }
    const part = ratio ?? b.constant([0.5], [])
    const scale = b.node('Sub', [b.constant([1], []), part])
    return [b.node('Div', [times(b, grad, castTo(b, kept, 'float32')), scale])]
  },
  Cast: (b, { grad, inputs: [x] }) => [
    x?.dtype === 'float32' && grad.dtype !== 'float32' ? castTo(b, grad, 'float32') : grad,
  ],
  Floor: flatRule,
  Ceil: flatRule,
  Round: flatRule,
  Sign: flatRule,
}
