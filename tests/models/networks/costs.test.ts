import { describe, expect, test } from 'bun:test'
import type { Graph } from '../../../models/graph.ts'
import { estimateCosts, measureCosts } from '../../../models/networks/costs.ts'
import { planPartition } from '../../../models/networks/partition.ts'
import { openSession } from '../../../models/session.ts'
import { tinyNetwork } from './tiny-network.ts'

describe('costs of subnetworks', () => {
  test('are the fastest of several runs of each pass, with the sizes of what is kept and sent', async () => {
    let nowMs = 0
    const opened: string[] = []
    const costs = await measureCosts(tinyNetwork(), {
      batch: 2,
      runs: 3,
      now: () => nowMs,
      async openSession(graph: Graph) {
        opened.push(graph.name)
        const session = await openSession(graph, { threads: 1 })
        const index = Number(/tiny.(\d)/.exec(graph.name)?.[1])
        let runs = 0
        return {
          async run(feeds) {
            // The first is slow, and so is every other one.
            nowMs +=
              (graph.name.endsWith('forward') ? 1 : 2) * (index + 1) * (++runs % 2 === 1 ? 9 : 1)
            return await session.run(feeds)
          },
        }
      },
    })
    expect(opened).toHaveLength(6)
    expect(costs.map(({ forwardMs }) => forwardMs)).toEqual([1, 2, 3])
    expect(costs.map(({ backwardMs }) => backwardMs)).toEqual([2, 4, 6])
    expect(costs.map(({ outputBytes }) => outputBytes)).toEqual([
      2 * 6 * 64 * 4,
      2 * 5 * 64 * 4,
      24,
    ])
    expect(costs[0]!.parameterBytes).toBe(4 * (6 * 3 * 9 + 4 * 6))
    // At least a convolution and what becomes of it.
    for (const { stashBytes, outputBytes } of costs.slice(0, 2)) {
      expect(stashBytes).toBeGreaterThanOrEqual(2 * outputBytes)
    }
    expect(planPartition({ costs, parts: 2 }).cuts).toEqual([2])
  })

  test('are estimated from multiply-adds where nothing was measured', () => {
    const costs = estimateCosts(tinyNetwork(), 2)
    const [a, b, c] = costs.map(({ forwardMs }) => forwardMs)
    expect(b! / a!).toBeCloseTo(30 / 18)
    expect(c! / a!).toBeCloseTo(20 / 18)
    for (const { forwardMs, backwardMs } of costs) expect(backwardMs).toBe(2 * forwardMs)
  })
})
