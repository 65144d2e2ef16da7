// Whole runs of replicas that are cut into subnetworks, with real processes.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ImageOptions, type ImageReport, image, launch } from '../../actors/index.ts'
import { decodeSafetensors } from '../../models/safetensors.ts'
import { float32View } from '../../protocol/tensor.ts'
import { makeTinyImages } from '../tiny-images.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-pipeline-'))
beforeAll(async () => {
  await makeTinyImages(`${folder}/train`, { perClass: 24 })
  await makeTinyImages(`${folder}/test`, { perClass: 8 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let runs = 0
async function runToEnd(changes: Partial<ImageOptions>): Promise<ImageReport> {
  runs += 1
  const options = {
    data: `${folder}/train`,
    test: `${folder}/test`,
    out: `${folder}/run-${runs}`,
    batch: 8,
    pad: 2,
    averageDecay: 0.9,
    learningRate: 0.02,
    ...changes,
  }
  await using run = await launch({ task: image(options) })
  return await run.done
}

test('two replicas of three subnetworks learn while a subnetwork of each and a shard are killed: nothing lost', async () => {
  const report = await runToEnd({
    subnetworks: 3,
    epochs: 8,
    chaos: 'kill:subnetwork-1@20%,kill:shard@40%,kill:subnetwork-3@60%',
  })
  const steps = 8 * 9
  expect(report.shards).toBe(3)
  expect(report.updates).toMatchObject({ acknowledged: 3 * steps, applied: 3 * steps })
  expect(report.restarts.map(({ actor, cause }) => [actor, cause]).sort()).toEqual([
    ['shard-2', 'killed by SIGKILL'],
    ['subnetwork-1', 'killed by SIGKILL'],
    ['subnetwork-3', 'killed by SIGKILL'],
  ])
  // By chance: 33 %.
  expect(report.accuracy.top1).toBeGreaterThan(80)
}, 60_000)

test('hard-sync through two subnetworks ends with the weights of the unsplit network, to rounding', async () => {
  const options = { replicas: 1, epochs: 1, policy: 'hard-sync', shards: 2 } as const
  const [whole, cut] = [await runToEnd(options), await runToEnd({ ...options, subnetworks: 2 })]
  const weightsOf = ({ model }: ImageReport) =>
    decodeSafetensors(readFileSync(model.replace('.onnx', '.safetensors'))).tensors
  const [expected, actual] = [weightsOf(whole), weightsOf(cut)]
  expect([...actual.keys()]).toEqual([...expected.keys()])
  for (const [name, tensor] of actual) {
    if (tensor.dtype !== 'float32') continue
    const wanted = float32View(expected.get(name)!)
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3)
    const most = float32View(tensor).reduce(
      (apart, value, i) => Math.max(apart, Math.abs(value - wanted[i]!)),
      0,
    )
    // Nine steps of momentum carry the rounding on.
    expect(most / largest).toBeLessThan(1e-3)
  }
}, 60_000)
