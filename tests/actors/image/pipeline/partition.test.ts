import { expect, test } from 'bun:test'
import { completeImageOptions } from '../../../../actors/image/options.ts'
import { costsOf, pipelineOf } from '../../../../actors/image/pipeline/partition.ts'
import type { ImageTask } from '../../../../actors/image/task.ts'
import { estimateCosts } from '../../../../models/networks/costs.ts'
import { imageNetwork } from '../../../../models/networks/networks.ts'
import { layoutOf } from '../../../../models/parameters.ts'
import { simulatedDisk } from '../../../../runtime/simulation/disk.ts'

const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 10 })
const task = { batch: 8, microBatches: 2 } as ImageTask

test('costs are measured once, and kept for whoever resumes the run', async () => {
  const disk = simulatedDisk()
  let measured = 0
  const thread = {
    async call(method: string, argument: unknown) {
      expect([method, argument]).toEqual(['measureCosts', task])
      measured += 1
      return estimateCosts(network, 4)
    },
    close: () => {},
  }
  const first = await costsOf(task, { disk, thread, path: 'costs.json' })
  const second = await costsOf(task, { disk, thread, path: 'costs.json' })
  expect(second).toEqual(first)
  expect(measured).toBe(1)
})

test('a replica is cut where its costs say, and every part is told of its own range', () => {
  const options = completeImageOptions({ data: 'images', subnetworks: 3, microBatches: 2 })
  const costs = estimateCosts(network, 32)
  const { lengths, partOf, lanes, micros, isInStep, shown } = pipelineOf(options, network, costs)
  const parts = lengths.map((_, subnetwork) => partOf(subnetwork) as { from: number; to: number })
  expect(parts[0]!.from).toBe(0)
  expect(parts[1]!.from).toBe(parts[0]!.to)
  expect(parts[2]!.from).toBe(parts[1]!.to)
  expect(parts[2]!.to).toBe(network.subnetworks.length)
  const { count } = layoutOf(network.parameters)
  expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(count)
  expect({ lanes, micros, isInStep }).toEqual({ lanes: 3, micros: 2, isInStep: false })
  const names = parts.slice(1).map(({ from }) => network.subnetworks[from]!.name)
  expect(shown).toStartWith(`cut before ${names.join(' and ')}: `)
  // A first subnetwork that is slower than all others becomes a part of its own.
  const slow = costs.map((cost, index) => (index === 0 ? { ...cost, forwardMs: 1_000 } : cost))
  expect(pipelineOf(options, network, slow).partOf(0)).toEqual({ from: 0, to: 1, parts: 3 })
})
