// A lowered graph computes what the graph computed: outputs, statistics and gradients.
import { expect, test } from 'bun:test'
import { backward } from '../../../models/autodiff/backward.ts'
import { joinSiblings } from '../../../models/lowering/siblings.ts'
import { imageNetwork } from '../../../models/networks/networks.ts'
import { openSession } from '../../../models/session.ts'
import { randomFor } from '../../../protocol/random.ts'
import { elementCount, float32View, tensorOf } from '../../../protocol/tensor.ts'

test('joined siblings give the outputs, statistics and gradients of convolutions side by side', async () => {
  const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 3 })
  const graph = network.forward({ from: 2, to: 5, batch: 3, mode: 'training' })
  const lowered = joinSiblings(graph)
  const count = (op: string) => lowered.nodes.filter((node) => node.op === op).length
  // Of the six convolutions of each module, three that read its input are one.
  expect(count('Conv')).toBe(3 * 4)
  expect(lowered.inputs).toEqual(graph.inputs)
  expect(lowered.outputs).toEqual(graph.outputs)
  expect([...lowered.initializers.keys()].some((name) => name.includes('former'))).toBe(true)

  const random = randomFor('siblings')
  const names = graph.inputs.map(({ name }) => name)
  const outgoing = graph.outputs.find(({ name }) => name === 'outgoing')!
  const feeds = Object.fromEntries(
    [...graph.inputs, { ...outgoing, name: 'outer' }].map(({ name, shape }) => {
      const extents = shape as readonly number[]
      const values = Float32Array.from({ length: elementCount(extents) }, random.normal)
      return [name, tensorOf(values, extents)]
    }),
  )
  const run = async (from: typeof graph) => {
    const session = await openSession(backward(from, 'outgoing', names, { seed: 'outer' }), {
      threads: 1,
    })
    return await session.run(feeds)
  }
  const [plain, fast] = [await run(graph), await run(lowered)]
  expect(Object.keys(fast).sort()).toEqual(Object.keys(plain).sort())
  for (const [name, tensor] of Object.entries(plain)) {
    const [expected, actual] = [float32View(tensor), float32View(fast[name]!)]
    const scale = Math.max(1, ...expected.map(Math.abs))
    expected.forEach((value, i) => {
      expect(Math.abs(actual[i]! - value) / scale).toBeLessThan(1e-4)
    })
  }
})

test('siblings that somebody else reads between stay as they are', () => {
  const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 3 })
  const graph = network.forward({ from: 2, to: 3, batch: 3, mode: 'training' })
  const seen = graph.nodes.filter(({ op }) => op === 'Conv').map(({ outputs }) => outputs[0] ?? '')
  const shown = seen.map((name) => ({ name, dtype: 'float32', shape: [] }) as const)
  const watched = { ...graph, outputs: [...graph.outputs, ...shown] }
  expect(joinSiblings(watched)).toBe(watched)
})
