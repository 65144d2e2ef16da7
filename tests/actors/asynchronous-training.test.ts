import { describe, expect, test } from 'bun:test'
import {
  applyGradient,
  type OptimizerSpec,
  optimizerNames,
  optimizerOf,
  optimizerSpec,
} from '../../models/optimizers/index.ts'
import { gradientOf, PARAMETERS, startTroupe } from './troupe.ts'

/** One process, minibatches of all rows of a round joined: the slow, obvious twin of hard-sync. */
function singleProcess(spec: OptimizerSpec, steps: number, roundSize: number): Float32Array {
  const parameters = new Float32Array(PARAMETERS)
  const transform = optimizerOf(spec)
  const state = transform.init(PARAMETERS)
  for (let first = 0; first < steps; first += roundSize) {
    const sum = new Float32Array(PARAMETERS)
    let allRows = 0
    for (let step = first; step < Math.min(steps, first + roundSize); step++) {
      const { gradient, rows } = gradientOf(step, parameters)
      gradient.forEach((value, i) => (sum[i]! += rows * value))
      allRows += rows
    }
    for (let i = 0; i < PARAMETERS; i++) sum[i]! /= allRows
    applyGradient(transform, state, sum, { update: first, rateScale: 1, parameters })
  }
  return parameters
}

function expectClose(actual: Float32Array, expected: Float32Array, within: number): void {
  const largest = Math.max(...expected.map(Math.abs))
  expect(largest).toBeGreaterThan(0.05)
  for (let i = 0; i < PARAMETERS; i++) {
    expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThan(within * largest)
  }
}

describe('hard-sync through three shards and three trainers equals one process, to rounding', () => {
  const steps = 61
  for (const name of optimizerNames) {
    const spec = optimizerSpec(name, { schedule: { name: 'constant', rate: 0.02 } })
    test(`with ${name}`, async () => {
      const seed = `hard-sync/${name}`
      const options = { seed, shards: 3, trainers: 3, steps, policy: 'hard-sync' }
      const troupe = await startTroupe({ ...options, optimizer: spec })
      await troupe.run(60_000)
      expect(troupe.finished).toHaveLength(steps)
      expectClose(await troupe.parameters(), singleProcess(spec, steps, 3), 1e-5)
    })
  }

  test('also when trainers die in the middle of a round', async () => {
    const spec = optimizerSpec('adam', { schedule: { name: 'constant', rate: 0.02 } })
    const options = { seed: 'deaths', shards: 3, trainers: 3, steps, policy: 'hard-sync' }
    const troupe = await startTroupe({ ...options, optimizer: spec })
    for (const victim of [1, 0, 1, 2]) {
      await troupe.run(137)
      await troupe.replaceTrainer(victim)
    }
    await troupe.run(60_000)
    expect(troupe.finished).toHaveLength(steps)
    expectClose(await troupe.parameters(), singleProcess(spec, steps, 3), 1e-5)
    for (const { appliedBelow, updates } of await troupe.statuses()) {
      expect(appliedBelow).toBe(steps)
      expect(updates.applied).toBe(steps)
    }
  })
})

test('every policy applies every step once and never the same twice', async () => {
  for (const policy of ['downpour', 'staleness-aware', 'ssp:1', 'softsync:2', 'downpour:1']) {
    const optimizer = optimizerSpec('sgd', { schedule: { name: 'constant', rate: 0.01 } })
    const options = { seed: policy, shards: 2, trainers: 3, steps: 80, policy, optimizer }
    const troupe = await startTroupe({ ...options, lanes: 2 })
    await troupe.run(300)
    await troupe.replaceTrainer(1)
    await troupe.run(60_000)
    expect(troupe.finished).toHaveLength(80)
    for (const status of await troupe.statuses()) {
      expect(status.appliedBelow).toBe(80)
      expect(status.updates.applied).toBe(80)
    }
  }
})

test('int8 feeds back the error of what was applied, not of what was refused', async () => {
  const steps = 150
  const constant = () => ({ gradient: Float32Array.from({ length: PARAMETERS }, wave), rows: 1 })
  // Not a multiple of the quantum: every push leaves an error behind.
  const wave = (_: unknown, i: number) => (i === 0 ? 1 : 0.1 + 0.00347 * i)
  const optimizer = optimizerSpec('sgd', { schedule: { name: 'constant', rate: 1 } })
  const options = { seed: 'feedback', shards: 1, trainers: 3, steps, optimizer, gradient: constant }
  const troupe = await startTroupe({ ...options, policy: 'downpour:0', codec: 'int8' })
  await troupe.run(60_000)
  expect(troupe.finished).toHaveLength(steps)
  const [status] = await troupe.statuses()
  expect(status!.updates.refused).toBeGreaterThan(50)
  const applied = await troupe.parameters()
  const quantum = 1 / 127
  for (let i = 0; i < PARAMETERS; i++) {
    // Each of the three trainers still holds at most half a quantum.
    expect(Math.abs(-applied[i]! - steps * wave(0, i))).toBeLessThan(1.5 * quantum + 1e-3)
  }
})

test('a step that computes past its deadline ends its trainer by name', async () => {
  const hangs = (trainer: string, sequence: number) =>
    trainer === 'trainer-1' && sequence > 5 ? Number.POSITIVE_INFINITY : 5
  const optimizer = optimizerSpec('sgd', { schedule: { name: 'constant', rate: 0.01 } })
  const options = { seed: 'hang', shards: 1, trainers: 2, steps: 40, policy: 'ssp:3', optimizer }
  const troupe = await startTroupe({ ...options, stepMs: hangs, stepMsMax: 700 })
  await troupe.run(500)
  expect(troupe.crashes.size).toBe(0)
  await troupe.run(1_000)
  expect(troupe.crashes.get('trainer-1')).toContain(
    'DeadlineError: the compute thread finished no step within 700 ms',
  )
  expect([...troupe.crashes.keys()]).toEqual(['trainer-1'])
})
