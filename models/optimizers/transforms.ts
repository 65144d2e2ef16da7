// The transforms themselves. Hot loops hold no branches. Those with roots and quotients round every
// operation to float32: Bun then compiles float32 instructions, and all engines agree on the bits.
import { rateAt, type Schedule } from './schedule.ts'
import {
  normOf,
  scale,
  type Transform,
  type TransformState,
  type UpdateContext,
} from './transform.ts'

const { fround, sqrt } = Math

/** v = decay v + g; the step is v, or with Nesterov g + decay v (Sutskever 2013 as PyTorch writes it). */
export function momentum(options: { decay: number; nesterov: boolean }): Transform {
  const { decay, nesterov } = options
  const advance = nesterov ? advanceNesterov : advanceVelocity
  return {
    name: 'momentum',
    slots: ['momentum.velocity'],
    scalars: [],
    init: (count) => vectorState('momentum.velocity', count, 0),
    update: (gradient, state) => advance(gradient, vector(state, 'momentum.velocity'), decay),
  }
}

/** G += g^2; the step is g / (sqrt(G) + epsilon): Duchi 2011, on the shard as in Dean 2012. */
export function adagrad(options: { initialAccumulator: number; epsilon: number }): Transform {
  return {
    name: 'adagrad',
    slots: ['adagrad.accumulator'],
    scalars: [],
    init: (count) => vectorState('adagrad.accumulator', count, options.initialAccumulator),
    update: (gradient, state) =>
      divideByHistory(gradient, vector(state, 'adagrad.accumulator'), options.epsilon),
  }
}

/**
 * s = decay s + (1 - decay) g^2; the step is g / sqrt(s + epsilon). As in TensorFlow 1, epsilon stands
 * inside the root (published recipes with epsilon 1.0 mean that) and s starts at `initialMeanSquare`.
 */
export function rmsprop(options: {
  decay: number
  epsilon: number
  initialMeanSquare: number
}): Transform {
  return {
    name: 'rmsprop',
    slots: ['rmsprop.meanSquare'],
    scalars: [],
    init: (count) => vectorState('rmsprop.meanSquare', count, options.initialMeanSquare),
    update: (gradient, state) =>
      divideByMeanSquare(gradient, vector(state, 'rmsprop.meanSquare'), options),
  }
}

/** Kingma and Ba 2015, algorithm 1; both corrections as one factor, and epsilon corrected to match. */
export function adam(options: { beta1: number; beta2: number; epsilon: number }): Transform {
  const { beta1, beta2, epsilon } = options
  return {
    name: 'adam',
    slots: ['adam.mean', 'adam.variance'],
    scalars: ['adam.beta1Power', 'adam.beta2Power'],
    init: (count) => ({
      vectors: {
        'adam.mean': new Float32Array(count),
        'adam.variance': new Float32Array(count),
      },
      scalars: { 'adam.beta1Power': 1, 'adam.beta2Power': 1 },
    }),
    update(gradient, state) {
      // Powers are kept as running products: a power function differs between engines in its last bit.
      const beta1Power = (state.scalars['adam.beta1Power']! *= beta1)
      const beta2Power = (state.scalars['adam.beta2Power']! *= beta2)
      const rootCorrection = sqrt(1 - beta2Power)
      adamStep(gradient, vector(state, 'adam.mean'), vector(state, 'adam.variance'), {
        beta1,
        beta2,
        epsilon: epsilon * rootCorrection,
        correction: rootCorrection / (1 - beta1Power),
      })
    },
  }
}

/** Shortens a gradient whose Euclidean norm, over this range alone, exceeds `normMax`. */
export function clipByNorm(normMax: number): Transform {
  return stateless('clip-by-norm', (gradient) => {
    const norm = normOf(gradient)
    if (norm > normMax) scale(gradient, normMax / norm)
  })
}

/** g + decay w. Before the other transforms it is L2 regularisation; after Adam it is AdamW's. */
export function decayWeights(decay: number): Transform {
  return stateless('decay-weights', (gradient, { parameters, decayed }) => {
    const everywhere = [{ offset: 0, length: gradient.length }]
    for (const { offset, length } of decayed ?? everywhere) {
      const end = offset + length
      for (let i = offset; i < end; i++) gradient[i]! += decay * parameters[i]!
    }
  })
}

/** Times the learning rate of this update and what the staleness policy makes of it. */
export function scaleByRate(schedule: Schedule): Transform {
  return {
    name: 'scale-by-rate',
    slots: [],
    scalars: [],
    init: emptyState,
    update: (gradient, _state, { update, rateScale }) =>
      scale(gradient, rateAt(schedule, update) * rateScale),
  }
}

function advanceVelocity(gradient: Float32Array, velocity: Float32Array, decay: number): void {
  for (let i = 0; i < gradient.length; i++) {
    const next = decay * velocity[i]! + gradient[i]!
    velocity[i] = next
    gradient[i] = next
  }
}

function advanceNesterov(gradient: Float32Array, velocity: Float32Array, decay: number): void {
  for (let i = 0; i < gradient.length; i++) {
    const next = decay * velocity[i]! + gradient[i]!
    velocity[i] = next
    gradient[i]! += decay * next
  }
}

function divideByHistory(gradient: Float32Array, accumulator: Float32Array, epsilon: number): void {
  const added = fround(epsilon)
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!
    const sum = fround(accumulator[i]! + fround(g * g))
    accumulator[i] = sum
    gradient[i] = fround(g / fround(fround(sqrt(sum)) + added))
  }
}

function divideByMeanSquare(
  gradient: Float32Array,
  meanSquare: Float32Array,
  options: { decay: number; epsilon: number },
): void {
  const kept = fround(options.decay)
  const taken = fround(1 - options.decay)
  const epsilon = fround(options.epsilon)
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!
    const mean = fround(fround(kept * meanSquare[i]!) + fround(taken * fround(g * g)))
    meanSquare[i] = mean
    gradient[i] = fround(g / fround(sqrt(fround(mean + epsilon))))
  }
}

function adamStep(
  gradient: Float32Array,
  means: Float32Array,
  variances: Float32Array,
  constants: {
    beta1: number
    beta2: number
    epsilon: number
    correction: number
  },
): void {
  const beta1 = fround(constants.beta1)
  const beta2 = fround(constants.beta2)
  const taken1 = fround(1 - constants.beta1)
  const taken2 = fround(1 - constants.beta2)
  const epsilon = fround(constants.epsilon)
  const correction = fround(constants.correction)
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!
    const mean = fround(fround(beta1 * means[i]!) + fround(taken1 * g))
    const variance = fround(fround(beta2 * variances[i]!) + fround(taken2 * fround(g * g)))
    means[i] = mean
    variances[i] = variance
    gradient[i] = fround(fround(mean * correction) / fround(fround(sqrt(variance)) + epsilon))
  }
}

function stateless(
  name: string,
  change: (gradient: Float32Array, context: UpdateContext) => void,
): Transform {
  return {
    name,
    slots: [],
    scalars: [],
    init: emptyState,
    update: (gradient, _state, context) => change(gradient, context),
  }
}

function emptyState(): TransformState {
  return { vectors: {}, scalars: {} }
}

function vectorState(slot: string, count: number, initial: number): TransformState {
  return { vectors: { [slot]: new Float32Array(count).fill(initial) }, scalars: {} }
}

function vector(state: TransformState, slot: string): Float32Array {
  return state.vectors[slot]!
}
