// Optimizers against values that PyTorch computed (tests/golden/optimizers.py), and what a parameter
// shard relies on: plain state, the same bits after a restore, specs that are checked.
import { expect, test } from 'bun:test'
import {
  applyGradient,
  chain,
  clipByNorm,
  copyState,
  momentum,
  normOf,
  OptimizerError,
  optimizerDefaults,
  optimizerNames,
  optimizerOf,
  optimizerSpec,
  parseOptimizer,
  restoreState,
  StateError,
  scaleByRate,
  type Transform,
  type TransformState,
} from '../../../models/optimizers/index.ts'
import { randomFor } from '../../../protocol/random.ts'
import { bytesOf } from '../../../protocol/tensor.ts'
import golden from '../../golden/optimizers.json'

for (const [name, { spec, parameters: expected }] of Object.entries(golden.cases)) {
  test(`${name} gives PyTorch's parameters to 1e-6`, () => {
    const transform = optimizerOf(parseOptimizer(spec))
    const parameters = Float32Array.from(golden.start)
    const state = transform.init(parameters.length)
    golden.gradients.forEach((values, update) => {
      const context = { update, rateScale: 1, parameters }
      applyGradient(transform, state, Float32Array.from(values), context)
      const row = golden.updates.indexOf(update + 1)
      if (row >= 0) expectClose(parameters, expected[row]!)
    })
  })
}

for (const name of optimizerNames) {
  test(`${name} goes on with the same bits after its state was saved and restored`, () => {
    const transform = optimizerOf(optimizerSpec(name, { clipNorm: 20, weightDecay: 0.01 }))
    const whole = start()
    run(transform, whole, 0, 20)

    const first = start()
    run(transform, first, 0, 9)
    const saved = copyState(first.state)
    const kept = first.parameters.slice()
    run(transform, first, 9, 13) // Work after the snapshot must not reach into it.
    const second = { parameters: kept, state: restoreState(transform, throughBytes(saved), COUNT) }
    run(transform, second, 9, 20)

    expect(bytesOf(second.parameters)).toEqual(bytesOf(whole.parameters))
    expect(throughBytes(second.state)).toEqual(throughBytes(whole.state))

    function start() {
      const random = randomFor('parameters')
      const parameters = Float32Array.from({ length: COUNT }, () => random.normal())
      return { parameters, state: transform.init(COUNT) }
    }
  })

  test(`${name} leaves parameters finite where the gradient is always zero`, () => {
    const transform = optimizerOf(optimizerSpec(name))
    const parameters = new Float32Array(4).fill(3)
    const state = transform.init(4)
    for (let update = 0; update < 5; update++) {
      applyGradient(transform, state, new Float32Array(4), { update, rateScale: 1, parameters })
    }
    expect([...parameters]).toEqual([3, 3, 3, 3])
  })

  test(`${name} declares exactly the state it makes`, () => {
    const transform = optimizerOf(optimizerSpec(name))
    const { vectors, scalars } = transform.init(3)
    expect(Object.keys(vectors)).toEqual([...transform.slots])
    expect(Object.keys(scalars)).toEqual([...transform.scalars])
  })

  test(`the spec of ${name} survives JSON`, () => {
    const spec = optimizerSpec(name, { clipNorm: 5 })
    expect(parseOptimizer(JSON.parse(JSON.stringify(spec)))).toEqual(spec)
  })
}

test('a saved state of another optimizer or another range is refused by name', () => {
  const adam = optimizerOf(optimizerSpec('adam'))
  const adagrad = optimizerOf(optimizerSpec('adagrad'))
  expect(() => restoreState(adam, adagrad.init(4), 4)).toThrow(StateError)
  expect(() => restoreState(adam, adam.init(4), 5)).toThrow('4 values of adam.mean where 5 belong')
  const extra = { ...adam.init(4), scalars: { ...adam.init(4).scalars, other: 1 } }
  expect(() => restoreState(adam, extra, 4)).toThrow('holds other')
  expect(restoreState(adam, adam.init(4), 4)).toEqual(adam.init(4))
})

test('a chain applies its transforms from first to last', () => {
  const rate = scaleByRate({ name: 'constant', rate: 0.1 })
  const stepOf = (transform: Transform): number[] => {
    const gradient = Float32Array.of(30, 40)
    const context = { update: 0, rateScale: 1, parameters: new Float32Array(2) }
    transform.update(gradient, transform.init(2), context)
    return [...gradient]
  }
  expect(stepOf(chain(clipByNorm(5), rate))).toEqual([...Float32Array.of(0.3, 0.4)])
  expect(stepOf(chain(rate, clipByNorm(5)))).toEqual([3, 4])
  expect(chain(clipByNorm(5), rate).name).toBe('clip-by-norm > scale-by-rate')
})

test('a chain refuses two transforms whose state would share a name', () => {
  const inertia = momentum({ decay: 0.9, nesterov: false })
  expect(() => chain(inertia, inertia)).toThrow('momentum, momentum')
})

test('clipping leaves a gradient within the norm untouched, to the bit', () => {
  const gradient = Float32Array.of(0.1, -0.2, 0.3)
  const before = gradient.slice()
  const context = { update: 0, rateScale: 1, parameters: new Float32Array(3) }
  clipByNorm(0.4).update(gradient, { vectors: {}, scalars: {} }, context)
  expect(gradient).toEqual(before)
  clipByNorm(0.1).update(gradient, { vectors: {}, scalars: {} }, context)
  expect(normOf(gradient)).toBeCloseTo(0.1, 6)
})

test('the norm is finite exactly where every value is', () => {
  expect(normOf(new Float32Array(1000).fill(3e38))).toBeLessThan(Infinity)
  expect(normOf(Float32Array.of(1, Infinity))).toBe(Infinity)
  expect(normOf(Float32Array.of(1, Number.NaN))).toBeNaN()
})

test('a stale gradient keeps its own rate in the momentum it leaves behind', () => {
  const transform = optimizerOf(optimizerSpec('momentum', { rate: 1 }))
  const parameters = new Float32Array(1)
  const state = transform.init(1)
  applyGradient(transform, state, Float32Array.of(8), { update: 0, rateScale: 0.25, parameters })
  expect(parameters[0]).toBe(-2)
  applyGradient(transform, state, Float32Array.of(0), { update: 1, rateScale: 1, parameters })
  expect(parameters[0]).toBeCloseTo(-3.8, 6)
})

test('the rate of Adam follows the staleness scale although its step forgets gradient sizes', () => {
  const stepWith = (rateScale: number): number => {
    const transform = optimizerOf(optimizerSpec('adam'))
    const parameters = new Float32Array(1)
    const context = { update: 0, rateScale, parameters }
    applyGradient(transform, transform.init(1), Float32Array.of(5), context)
    return parameters[0]!
  }
  expect(stepWith(0.25)).toBeCloseTo(stepWith(1) / 4, 9)
})

const refusals: readonly [unknown, string][] = [
  [undefined, 'optimizer: undefined; give an object with a name'],
  [{ name: 'adamax' }, 'optimizer: "adamax"; give one of sgd, momentum, adagrad, rmsprop, adam'],
  [{ ...optimizerSpec('adam'), beta1: 1 }, 'adam.beta1: 1; give 0 to'],
  [{ ...optimizerSpec('adam'), epsilon: 0 }, 'adam.epsilon: 0; give 1e-30 to 1000'],
  [{ ...optimizerSpec('adam'), epsilon: Number.NaN }, 'adam.epsilon: null; give'],
  [{ ...optimizerSpec('adam'), nesterov: true }, 'adam.nesterov: unknown; adam has beta1, beta2'],
  [{ ...optimizerSpec('sgd'), clipNorm: 0 }, 'sgd.clipNorm: 0; give'],
  [{ ...optimizerSpec('momentum'), nesterov: 1 }, 'momentum.nesterov: 1; give true or false'],
  [{ name: 'sgd' }, 'schedule: undefined; give an object with a name'],
  [{ name: 'sgd', schedule: { name: 'step' } }, 'schedule: "step"; give one of constant,'],
  [{ name: 'sgd', schedule: { name: 'constant', rate: -1 } }, 'constant.rate: -1; give 0 to'],
  [{ name: 'sgd', schedule: { name: 'piecewise', pieces: [] } }, 'give at least one piece'],
]
for (const [spec, message] of refusals) {
  test(`a spec is refused: ${message}`, () => {
    expect(() => parseOptimizer(spec)).toThrow(OptimizerError)
    expect(() => parseOptimizer(spec)).toThrow(message)
  })
}

test('every name has usual constants, and its spec a constant rate unless told otherwise', () => {
  for (const name of optimizerNames) {
    const { rate } = optimizerDefaults[name]
    expect(optimizerSpec(name).schedule).toEqual({ name: 'constant', rate })
  }
  expect(optimizerSpec('sgd', { rate: 3 }).schedule).toEqual({ name: 'constant', rate: 3 })
})

const COUNT = 37

function run(
  transform: Transform,
  { parameters, state }: { parameters: Float32Array; state: TransformState },
  from: number,
  until: number,
): void {
  for (let update = from; update < until; update++) {
    const random = randomFor('gradient', update)
    const gradient = Float32Array.from({ length: COUNT }, () => 5 * random.normal())
    applyGradient(transform, state, gradient, {
      update,
      rateScale: 1 / (1 + (update % 3)),
      parameters,
    })
  }
}

/** What a checkpoint does: vectors as bytes, numbers as JSON. */
function throughBytes({ vectors, scalars }: TransformState): TransformState {
  const restored = Object.entries(vectors).map(([slot, values]) => {
    return [slot, new Float32Array(bytesOf(values).slice().buffer)] as const
  })
  return { vectors: Object.fromEntries(restored), scalars: JSON.parse(JSON.stringify(scalars)) }
}

function expectClose(actual: Float32Array, expected: readonly number[]): void {
  expected.forEach((value, index) => {
    const error = Math.abs(actual[index]! - value) / Math.max(1, Math.abs(value))
    expect(error).toBeLessThan(1e-6)
  })
}
