import { expect, test } from 'bun:test'
import type { Batch, PartToPredict } from '../../../../actors/image/predict/part-compute.ts'
import { predictPart } from '../../../../actors/image/predict/part.ts'
import { startPredictPipeline } from '../../../../actors/image/predict/pipeline.ts'
import { float32View, type Tensor, tensorOf } from '../../../../protocol/tensor.ts'
import { type ComputeThread, createPool } from '../../../../runtime/index.ts'
import { createTestKit } from '../../../../runtime/simulation/index.ts'
import type { Clock } from '../../../../runtime/environment.ts'

interface Seen {
  /** Batches that are in a part or on their way between two. */
  now: number
  most: number
  computed: number
}

/** Every part multiplies by its number + 2; a batch takes 10 ms. */
function formula(clock: () => Clock, seen: Seen): ComputeThread {
  let part: PartToPredict | undefined
  return {
    async call(method, argument) {
      if (method === 'openPart') {
        part = argument as PartToPredict
        return undefined
      }
      const index = part?.index ?? 0
      const values = float32View((argument as Batch).values[0]!)
      if (!Number.isFinite(values[0])) throw new Error('SessionError: no such shape')
      if (index === 0) seen.now += 1
      seen.most = Math.max(seen.most, seen.now)
      await new Promise<void>((resolve) => clock().after(10, resolve))
      seen.computed += 1
      if (index === (part?.parts ?? 0) - 1) seen.now -= 1
      return { values: [tensorOf(values.map((value) => value * (index + 2)))] }
    },
    close: () => {},
  }
}

async function pipelineIn(seed: string) {
  const seen: Seen = { now: 0, most: 0, computed: 0 }
  const kit = await createTestKit({
    seed,
    environment: () => ({ compute: { start: () => formula(() => kit.clock, seen) } }),
  })
  const module = kit.workerModule([predictPart('formula')])
  const pool = createPool({ system: kit.control, module })
  const options = { system: kit.control, pool, model: 'model.onnx', parts: 3 }
  return { kit, seen, pipeline: startPredictPipeline(options) }
}

const batch = (index: number): Tensor => tensorOf(Float32Array.of(index, 1))

test('batches go through all parts at the same time, few at a time, and keep their order', async () => {
  const { kit, seen, pipeline } = await pipelineIn('throughput')
  await kit.until(pipeline.predict(batch(0)))
  const [begun, before] = [kit.clock.now(), seen.computed]
  const answers = await kit.until(
    Promise.all(Array.from({ length: 40 }, (_, i) => pipeline.predict(batch(i)))),
  )
  expect(answers.map(([answer]) => float32View(answer!)[0])).toEqual(
    Array.from({ length: 40 }, (_, i) => 24 * i),
  )
  expect(seen.computed - before).toBe(120)
  expect(seen.most).toBeLessThanOrEqual(4)
  // One after the other they would take 1200 ms.
  expect(kit.clock.now() - begun).toBeLessThan(600)
  await kit.stop()
})

test('a part that dies is replaced, and no batch is lost', async () => {
  for (const victim of [0, 1, 2]) {
    const { kit, pipeline } = await pipelineIn(`death ${victim}`)
    await kit.until(pipeline.predict(batch(0)))
    const answered = Promise.all(Array.from({ length: 30 }, (_, i) => pipeline.predict(batch(i))))
    await kit.advance(75)
    kit.kill(`predict-${victim}`)
    const answers = await kit.until(answered)
    expect(answers.map(([answer]) => float32View(answer!)[0])).toEqual(
      Array.from({ length: 30 }, (_, i) => 24 * i),
    )
    await kit.stop()
  }
})

test('a batch that the network cannot take is refused by name, and the next one is not', async () => {
  const { kit, pipeline } = await pipelineIn('refusal')
  const refused = pipeline.predict(tensorOf(Float32Array.of(Number.NaN))).then(String, String)
  expect(await kit.until(refused)).toContain('SessionError: no such shape')
  const [answer] = await kit.until(pipeline.predict(batch(2)))
  expect(float32View(answer!)[0]).toBe(48)
  await kit.stop()
})
