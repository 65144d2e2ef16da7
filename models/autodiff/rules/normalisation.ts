// Gradients of normalisations over batches, images and neighbouring channels.
import type { Builder, Handle } from '../../builder.ts'
import { float, floatOf, integer, integerOf } from '../../graph.ts'
import { castTo, type GradientRules, type RuleArguments, times } from '../rule.ts'
import { sumOverAllBut } from './convolution.ts'
import { extentOf } from './sliding.ts'

export const normalisationRules: GradientRules = {
  BatchNormalization: (b, args) =>
    integerOf(args.node, 'training_mode', 0) === 1 ? batchTraining(b, args) : batchFrozen(b, args),
  InstanceNormalization(b, { node, grad, inputs: [x, scale, bias], isWanted }) {
    if (!x || !scale || !bias) return []
    const spatial = x.shape.slice(2).map((_, axis) => axis + 2)
    const mean = (value: Handle) => meanOver(b, value, spatial)
    const centred = b.node('Sub', [x, mean(x)])
    const inverse = inverseRoot(b, mean(times(b, centred, centred)), floatOf(node, 'epsilon', 1e-5))
    const normal = times(b, centred, inverse)
    const toX = (): Handle => {
      const along = times(b, normal, mean(times(b, grad, normal)))
      const rest = b.node('Sub', [b.node('Sub', [grad, mean(grad)]), along])
      return times(b, times(b, perChannel(b, scale, x), inverse), rest)
    }
    return [
      isWanted(0) ? toX() : undefined,
      isWanted(1) ? sumOverAllBut(b, times(b, grad, normal), 1) : undefined,
      isWanted(2) ? sumOverAllBut(b, grad, 1) : undefined,
    ]
  },
  // b = k + (alpha / n) S(x^2), r = b^-beta, y = x r, where S sums n neighbouring channels and is its own
  // adjoint: dx = d r - (2 alpha beta / n) x S(d y / b).
  LRN(b, { node, grad, output, inputs: [x] }) {
    if (!x) return []
    const size = integerOf(node, 'size', 5)
    const [alpha, beta] = [floatOf(node, 'alpha', 1e-4), floatOf(node, 'beta', 0.75)]
    const scalar = (value: number) => b.constant([value], [])
    const sum = neighbourSum(b, extentOf(node, x, 1), size)
    const scaled = times(b, sum(times(b, x, x)), scalar(alpha / size))
    const base = b.node('Add', [scaled, scalar(floatOf(node, 'bias', 1))])
    const root = b.node('Exp', [times(b, b.node('Log', [base]), scalar(-beta))])
    const shared = sum(b.node('Div', [times(b, grad, output), base]))
    const back = times(b, times(b, x, shared), scalar((2 * alpha * beta) / size))
    return [b.node('Sub', [times(b, grad, root), back])]
  },
}

/** Statistics are given and fixed: an affine map per channel. */
function batchFrozen(
  b: Builder,
  { node, grad, inputs: [x, scale, bias, mean, variance], isWanted }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x || !scale || !bias || !mean || !variance) return []
  const inverse = inverseRoot(b, variance, floatOf(node, 'epsilon', 1e-5))
  const slope = times(b, scale, inverse)
  const sum = sumOverAllBut(b, grad, 1)
  // sum of grad (x - mean)
  const moment = () => b.node('Sub', [sumOverAllBut(b, times(b, grad, x), 1), times(b, mean, sum)])
  const cube = () => times(b, times(b, slope, times(b, inverse, inverse)), b.constant([-0.5], []))
  return [
    isWanted(0) ? times(b, grad, perChannel(b, slope, x)) : undefined,
    isWanted(1) ? times(b, moment(), inverse) : undefined,
    isWanted(2) ? sum : undefined,
    isWanted(3) ? b.node('Neg', [times(b, sum, slope)]) : undefined,
    isWanted(4) ? times(b, moment(), cube()) : undefined,
  ]
}

/**
 * Statistics are the minibatch's. With s = gamma / sigma and M values a channel, dbeta = sum d, dgamma =
 * (sum d x - m dbeta) / sigma, and dx = s d - (s / M) (dgamma xhat + dbeta): what is taken away is the operator
 * itself, given those statistics, with other gains, in one pass over x.
 */
function batchTraining(
  b: Builder,
  { node, grad, outputs, inputs: [x, scale], isWanted }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x || !scale) return []
  const epsilon = floatOf(node, 'epsilon', 1e-5)
  const [mean, variance] = batchStatistics(b, x, outputs, floatOf(node, 'momentum', 0.9))
  const inverse = inverseRoot(b, variance, epsilon)
  const dBias = sumOverAllBut(b, grad, 1)
  const moment = b.node('Sub', [sumOverAllBut(b, times(b, grad, x), 1), times(b, mean, dBias)])
  const dScale = times(b, moment, inverse)
  const toX = (): Handle => {
    const slope = times(b, scale, inverse)
    const share = b.node('Neg', [b.node('Div', [slope, countPerChannel(b, x)])])
    const inputs = [x, times(b, share, dScale), times(b, share, dBias), mean, variance]
    const taken = b.node('BatchNormalization', inputs, { attributes: { epsilon: float(epsilon) } })
    return b.node('Add', [times(b, grad, perChannel(b, slope, x)), taken])
  }
  return [
    isWanted(0) ? toX() : undefined,
    isWanted(1) ? dScale : undefined,
    isWanted(2) ? dBias : undefined,
  ]
}

/** With momentum 0 the operator's further outputs are this minibatch's mean and variance. */
function batchStatistics(
  b: Builder,
  x: Handle,
  [, runningMean, runningVariance]: readonly (Handle | undefined)[],
  momentum: number,
): readonly [Handle, Handle] {
  if (momentum === 0 && runningMean && runningVariance) return [runningMean, runningVariance]
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1)
  const mean = meanOver(b, x, axes)
  const centred = b.node('Sub', [x, mean])
  const flat = (value: Handle) =>
    b.node('Reshape', [value, b.integers([-1])], { shape: [x.shape[1] ?? 1] })
  return [flat(mean), flat(meanOver(b, times(b, centred, centred), axes))]
}

function countPerChannel(b: Builder, x: Handle): Handle {
  const others = x.shape.filter((_, axis) => axis !== 1)
  if (others.every((extent) => typeof extent === 'number')) {
    return b.constant([others.reduce((product, extent) => product * extent, 1)], [])
  }
  const size = castTo(b, b.node('Size', [x], { dtype: 'int64' }), 'float32')
  return b.node('Div', [size, b.constant([Number(x.shape[1])], [])])
}

/** [C] as [1, C, 1, 1]. */
function perChannel(b: Builder, value: Handle, x: Handle): Handle {
  const extents = x.shape.map((_, axis) => (axis === 1 ? -1 : 1))
  const shape = extents.map((extent) => (extent === -1 ? (x.shape[1] ?? 1) : 1))
  return b.node('Reshape', [value, b.integers(extents)], { shape })
}

function meanOver(b: Builder, x: Handle, axes: readonly number[]): Handle {
  const attributes = { axes: { type: 'integers', value: axes }, keepdims: integer(1) } as const
  return b.node('ReduceMean', [x], { attributes })
}

function inverseRoot(b: Builder, variance: Handle, epsilon: number): Handle {
  const root = b.node('Sqrt', [b.node('Add', [variance, b.constant([epsilon], [])])])
  return b.node('Div', [b.constant([1], []), root])
}

/** Sums of `size` neighbouring channels, as a 1 x 1 convolution with a banded matrix. */
function neighbourSum(b: Builder, channels: number, size: number): (x: Handle) => Handle {
  const before = Math.floor((size - 1) / 2)
  const band = Array.from({ length: channels * channels }, (_, index) => {
    const distance = (index % channels) - Math.floor(index / channels)
    return distance >= -before && distance < size - before ? 1 : 0
  })
  return (x) => {
    const spatial = x.shape.slice(2).map(() => 1)
    return b.node('Conv', [x, b.constant(band, [channels, channels, ...spatial])], {
      shape: x.shape,
    })
  }
}
