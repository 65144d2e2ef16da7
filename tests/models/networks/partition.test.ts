import { describe, expect, test } from 'bun:test'
import {
  PartitionError,
  planPartition,
  type SubnetworkCost,
} from '../../../models/networks/partition.ts'
import { randomFor } from '../../../protocol/random.ts'

/** Every way to cut, one after the other: the slow, obvious twin of the recurrence. */
function slowestOfBestCut(
  costs: readonly SubnetworkCost[],
  parts: number,
  bytesPerMs: number | undefined,
): number {
  const ms = (from: number, to: number): number =>
    costs
      .slice(from, to)
      .reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0)
  const link = (cut: number): number =>
    bytesPerMs ? (2 * costs[cut - 1]!.outputBytes) / bytesPerMs : 0
  if (parts === 1) return ms(0, costs.length)
  let best = Number.POSITIVE_INFINITY
  for (let cut = parts - 1; cut < costs.length; cut++) {
    const rest = slowestOfBestCut(costs.slice(0, cut), parts - 1, bytesPerMs)
    best = Math.min(best, Math.max(rest, link(cut), ms(cut, costs.length)))
  }
  return best
}

function costsOf(seed: number, count: number): SubnetworkCost[] {
  const random = randomFor('costs', seed)
  return Array.from({ length: count }, () => ({
    forwardMs: 1 + random.below(20),
    backwardMs: 2 + random.below(40),
    outputBytes: random.below(4_000_000),
    parameterBytes: 4 * random.below(1_000_000),
    stashBytes: random.below(10_000_000),
  }))
}

describe('the partition planner', () => {
  test('finds what trying every cut finds, with and without the cost of links', () => {
    for (let seed = 0; seed < 60; seed++) {
      const costs = costsOf(seed, 3 + (seed % 7))
      for (const bytesPerMs of [undefined, 100_000]) {
        for (let parts = 1; parts <= Math.min(5, costs.length); parts++) {
          const plan = planPartition({ costs, parts, ...(bytesPerMs && { bytesPerMs }) })
          expect(plan.bottleneckMs).toBe(slowestOfBestCut(costs, parts, bytesPerMs))
        }
      }
    }
  })

  test('gives parts that follow each other, cover all, and add up', () => {
    const costs = costsOf(99, 9)
    const { parts, cuts, bottleneckMs, wholeMs } = planPartition({ costs, parts: 4 })
    expect(parts.map(({ from }) => from)).toEqual([0, ...cuts])
    expect(parts.map(({ to }) => to)).toEqual([...cuts, 9])
    expect(Math.max(...parts.map(({ ms }) => ms))).toBe(bottleneckMs)
    expect(parts.reduce((sum, { ms }) => sum + ms, 0)).toBe(wholeMs)
    const last = costs.slice(cuts[2]!).reduce((sum, c) => sum + c.parameterBytes + c.stashBytes, 0)
    expect(parts[3]!.memoryBytes).toBe(last)
  })

  test('moves a cut away from a link that is slower than any part', () => {
    const cost = { forwardMs: 1, backwardMs: 2, parameterBytes: 0, stashBytes: 0 }
    const costs = [10, 900, 10].map((outputBytes) => ({ ...cost, outputBytes }))
    costs.push({ ...cost, outputBytes: 0 })
    expect(planPartition({ costs, parts: 2 }).cuts).toEqual([2])
    expect(planPartition({ costs, parts: 2, bytesPerMs: 100 }).cuts).toEqual([1])
  })

  test('refuses more parts than subnetworks, and none', () => {
    const costs = costsOf(1, 3)
    for (const parts of [0, 4, 1.5]) {
      expect(() => planPartition({ costs, parts })).toThrow(PartitionError)
    }
    expect(() => planPartition({ costs, parts: 4 })).toThrow(
      '3 subnetworks are cut into 1 to 3 parts, not 4',
    )
  })
})
