import { describe, expect, test } from 'bun:test'
import {
  applyGradient,
  type OptimizerSpec,
  optimizerOf,
  optimizerSpec,
} from '../../../models/optimizers/index.ts'
import { randomFor } from '../../../protocol/random.ts'
import {
  lossOf,
  type Replicas,
  rowsOf,
  scaled,
  startReplicas,
  WIDTH,
  weightGradient,
} from './replicas.ts'

interface Run {
  readonly subnetworks: number
  readonly micros: number
  readonly steps: number
  readonly roundSize: number
}

/** The whole network in one place, one round after the other: the slow, obvious twin of hard-sync. */
function inOnePlace(spec: OptimizerSpec, { subnetworks, micros, steps, roundSize }: Run) {
  const parameters = new Float32Array(subnetworks * WIDTH).fill(1)
  const part = (k: number): Float32Array => parameters.subarray(k * WIDTH, (k + 1) * WIDTH)
  const transform = optimizerOf(spec)
  const state = transform.init(parameters.length)
  for (let first = 0; first < steps; first += roundSize) {
    const end = Math.min(steps, first + roundSize)
    const sum = new Float32Array(parameters.length)
    for (let step = first; step < end; step++) {
      for (let micro = 0; micro < micros; micro++) {
        const { inputs, targets } = rowsOf(step, micro)
        const activations: Float32Array[] = [inputs]
        for (let k = 0; k < subnetworks; k++) activations.push(scaled(activations[k]!, part(k)))
        let outer: Float32Array = lossOf(activations[subnetworks]!, targets).outer
        for (let k = subnetworks - 1; k >= 0; k--) {
          const own = weightGradient(outer, activations[k]!)
          own.forEach((value, i) => (sum[k * WIDTH + i]! += value / micros / (end - first)))
          outer = scaled(outer, part(k))
        }
      }
    }
    applyGradient(transform, state, sum, { update: first, rateScale: 1, parameters })
  }
  return parameters
}

async function expectAllOnce(replicas: Replicas, steps: number): Promise<void> {
  expect(replicas.faults).toEqual([])
  expect([...replicas.crashes]).toEqual([])
  const sequences = replicas.finished.map(({ sequence }) => sequence)
  expect(sequences.sort((a, b) => a - b)).toEqual(Array.from({ length: steps }, (_, i) => i))
  for (const { appliedBelow, updates } of await replicas.statuses()) {
    expect(appliedBelow).toBe(steps)
    expect(updates.applied).toBe(steps)
  }
}

const sgd = optimizerSpec('sgd', { schedule: { name: 'constant', rate: 0.02 } })

describe('hard-sync through subnetworks equals the network in one place, to rounding', () => {
  for (const [subnetworks, replicaCount, micros, shardsEach] of [
    [1, 2, 2, 1],
    [3, 1, 4, 1],
    [3, 2, 3, 2],
    [4, 2, 1, 1],
  ] as const) {
    test(`${replicaCount} x ${subnetworks}, ${micros} micro-batches`, async () => {
      const optimizer = optimizerSpec('adam', { schedule: { name: 'constant', rate: 0.02 } })
      const steps = 31
      const seed = `equal/${subnetworks}/${micros}`
      const options = { seed, subnetworks, micros, steps, optimizer, shardsEach }
      const replicas = await startReplicas({
        ...options,
        replicas: replicaCount,
        policy: 'hard-sync',
      })
      await replicas.run(60_000)
      await expectAllOnce(replicas, steps)
      const run = { subnetworks, micros, steps, roundSize: replicaCount }
      const expected = inOnePlace(optimizer, run)
      const actual = await replicas.parameters()
      actual.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5))
      expect(Math.abs(expected[0]! - 1)).toBeGreaterThan(0.05)
    })
  }
})

test('every policy takes every step once, with stashed parameters and bounded stashes', async () => {
  for (const policy of ['downpour', 'staleness-aware', 'ssp:1', 'softsync:2', 'downpour:3']) {
    const options = { seed: policy, subnetworks: 3, replicas: 2, micros: 2, steps: 60, policy }
    const replicas = await startReplicas({ ...options, optimizer: sgd })
    await replicas.run(60_000)
    await expectAllOnce(replicas, 60)
    for (const subnetwork of [0, 1, 2]) {
      const status = await replicas.subnetworkStatus(`subnetwork-1-${subnetwork}`)
      expect(status.passes).toBe(0)
      expect(status.stashedMax).toBeLessThanOrEqual(3 - subnetwork)
      expect(status.copies).toBeLessThanOrEqual(3)
    }
  }
})

describe('deaths', () => {
  for (const policy of ['downpour', 'hard-sync']) {
    for (const victim of [0, 1, 2]) {
      test(`of subnetwork ${victim}, at any moment (${policy}), lose and double nothing`, async () => {
        const steps = 150
        const options = { subnetworks: 3, replicas: 2, micros: 2, steps, policy }
        const random = randomFor('deaths', policy, victim)
        const replicas = await startReplicas({
          ...options,
          seed: `${policy}/${victim}`,
          optimizer: sgd,
        })
        for (let death = 0; death < 5; death++) {
          await replicas.run(20 + random.below(90))
          expect(replicas.finished.length).toBeLessThan(steps)
          await replicas.replace(death % 2, victim)
        }
        await replicas.run(120_000)
        await expectAllOnce(replicas, steps)
        // Some steps were computed again, and the shards that had them said so.
        const statuses = await replicas.statuses()
        expect(Math.max(...statuses.map(({ updates }) => updates.duplicates))).toBeGreaterThan(0)
      })
    }
  }

  test('of all subnetworks of a replica at once, and of the only replica', async () => {
    const options = { seed: 'all', subnetworks: 3, replicas: 1, micros: 2, steps: 30 }
    const replicas = await startReplicas({ ...options, policy: 'downpour', optimizer: sgd })
    await replicas.run(70)
    for (const subnetwork of [2, 0, 1]) await replicas.replace(0, subnetwork)
    await replicas.run(60_000)
    await expectAllOnce(replicas, 30)
  })

  test('by a compute thread that hangs have their name, and are the same to the others', async () => {
    let isHung = false
    const microMs = (name: string): number => {
      const hangs = name === 'subnetwork-0-1' && isHung
      return hangs ? Number.POSITIVE_INFINITY : 3
    }
    const options = { subnetworks: 3, replicas: 1, micros: 2, steps: 60, policy: 'downpour' }
    const replicas = await startReplicas({ ...options, seed: 'hang', optimizer: sgd, microMs })
    await replicas.run(100)
    isHung = true
    await replicas.run(1_500)
    expect(replicas.crashes.get('subnetwork-0-1')).toContain(
      'DeadlineError: the compute thread finished no micro-batch within 1000 ms',
    )
    isHung = false
    await replicas.replace(0, 1)
    await replicas.run(60_000)
    expect(replicas.finished).toHaveLength(60)
    for (const { updates } of await replicas.statuses()) expect(updates.applied).toBe(60)
  })
})
