// One operator against central differences: every element of a small input, a sample of a large one.
import { expect } from 'bun:test'
import { backward } from '../../models/autodiff/backward.ts'
import { type Builder, graphBuilder, type Handle } from '../../models/builder.ts'
import { type Attributes, integer } from '../../models/graph.ts'
import { openSession } from '../../models/session.ts'
import { type Random, randomFor } from '../../protocol/random.ts'
import { elementCount, float32View, tensorOf } from '../../protocol/tensor.ts'

export interface GradientCase {
  readonly op: string
  readonly what: string
  readonly shapes: readonly (readonly number[])[]
  readonly attributes?: Attributes
  readonly apply?: (b: Builder, inputs: readonly Handle[], attributes: Attributes) => Handle
  readonly draw?: (random: Random, index: number) => number
}

const STEP = 1e-2
const SAMPLED = 40

export async function checkGradient(item: GradientCase): Promise<void> {
  const random = randomFor('operators', item.op, item.what)
  const { attributes = {}, draw = (r: Random) => r.normal() } = item
  const b = graphBuilder('windows')
  const inputs = item.shapes.map((shape, index) => b.input(`x${index}`, shape))
  const y = (item.apply ?? ((b, given) => b.node(item.op, given, { attributes })))(
    b,
    inputs,
    attributes,
  )
  const shape = y.shape as readonly number[]
  const outer = tensorOf(Float32Array.from({ length: elementCount(shape) }, random.normal), shape)
  const product = b.node('Mul', [y, b.input('outer', shape)])
  const loss = b.node('ReduceSum', [product], { attributes: { keepdims: integer(0) } })
  const forward = b.build([b.named(loss, 'loss')])
  const names = item.shapes.map((_, index) => `x${index}`)
  const options = { threads: 1 }
  const session = await openSession(backward(forward, 'loss', names), options)
  const lossOnly = await openSession(forward, options)

  const values = item.shapes.map((extents) =>
    Float32Array.from({ length: elementCount(extents) }, (_, index) => draw(random, index)),
  )
  const feeds = (at: readonly Float32Array[]) => ({
    ...Object.fromEntries(at.map((value, i) => [`x${i}`, tensorOf(value, item.shapes[i]!)])),
    outer,
  })
  const lossAt = async (at: readonly Float32Array[]) =>
    float32View((await lossOnly.run(feeds(at))).loss!)[0]!
  const got = await session.run(feeds(values))
  for (const [index, extents] of item.shapes.entries()) {
    const gradient = got[`gradient/x${index}`]!
    expect(gradient.shape).toEqual(extents)
    const all = float32View(gradient)
    for (const i of sample(random, all.length)) {
      const moved = (by: number) =>
        values.map((x, at) => (at === index ? x.with(i, x[i]! + by) : x))
      const [up, down] = [await lossAt(moved(STEP)), await lossAt(moved(-STEP))]
      const difference = (up - down) / (2 * STEP)
      expect(Math.abs(all[i]! - difference)).toBeLessThan(1e-2 * (1 + Math.abs(difference)))
    }
  }
}

function sample(random: Random, count: number): number[] {
  if (count <= SAMPLED) return Array.from({ length: count }, (_, index) => index)
  return Array.from({ length: SAMPLED }, () => random.below(count))
}
