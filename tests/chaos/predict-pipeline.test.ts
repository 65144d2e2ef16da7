// Inference through real processes that hand batches on in shared memory.
import { expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPredictPipeline } from '../../actors/index.ts'
import { imageNetwork, servingGraph } from '../../models/networks/networks.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { initialise, layoutOf } from '../../models/parameters.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { createPool, createSystem, realEnvironment } from '../../runtime/index.ts'

const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 5 })
const layout = layoutOf(network.parameters)
const values = initialise(layout, randomFor('weights'))
const model = encodeOnnx(servingGraph(network, { layout, values }, {}))

function imagesOf(index: number): Tensor {
  const random = randomFor('images', index)
  // Sizes come and go, and come again.
  const batch = index % 20 < 14 ? 2 : 1 + (index % 3)
  const pixels = Float32Array.from({ length: batch * 3 * 32 * 32 }, random.normal)
  return tensorOf(pixels, [batch, 3, 32, 32])
}

const foldersInMemory = (): string[] =>
  existsSync('/dev/shm') ? readdirSync('/dev/shm').filter((name) => name.endsWith('-chaos')) : []

test('three processes answer what the unsplit network answers, also when one is killed, and leave nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-predict-'))
  writeFileSync(`${folder}/model.onnx`, model)
  const environment = realEnvironment({ seed: 1 })
  const system = createSystem({ environment, member: 'control', token: 'secret' })
  await system.listen()
  const module = new URL('../../actors/worker.ts', import.meta.url).href
  const pool = createPool({ system, module })
  const options = { system, pool, model: `${folder}/model.onnx`, parts: 3, name: 'chaos' }
  const pipeline = startPredictPipeline(options)
  const batches = Array.from({ length: 60 }, (_, index) => imagesOf(index))
  const answering = Promise.all(batches.map(pipeline.predict))
  await pipeline.predict(imagesOf(0))
  pool.workers.get('chaos-1')?.kill('SIGKILL')
  const answers = await answering
  await pipeline.stop()
  await pool.stop()
  system.stop()
  const session = await openSession(model, { threads: 1 })
  for (const [index, images] of batches.entries()) {
    const { logits, probabilities } = await session.run({ images })
    const whole = [logits!, probabilities!]
    whole.forEach((expected, output) => {
      const actual = answers[index]![output]!
      expect(actual.shape).toEqual(expected.shape)
      const wanted = float32View(expected)
      float32View(actual).forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 4))
    })
  }
  expect(foldersInMemory()).toEqual([])
  rmSync(folder, { recursive: true })
}, 60_000)
