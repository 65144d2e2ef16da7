// Inference through a pipeline of processes against the unsplit network in as many processes: images a
// second and core, of one model file, both sides in turn.
import { balanceCuts } from '../../models/networks/balance.ts'
import { decodeOnnx } from '../../models/onnx-file.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { createPool, createSystem, realEnvironment } from '../../runtime/index.ts'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPredictPipeline } from '../../actors/image/predict/pipeline.ts'
import type { NetworkName } from '../../models/networks/image-network.ts'
import { imageNetwork, publishedSizeOf, servingGraph } from '../../models/networks/networks.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { initialise, layoutOf } from '../../models/parameters.ts'
import { atLeast, type Bench, type Row, row } from './rows.ts'

/** As published, with weights by chance. */
const measured: readonly (readonly [network: NetworkName, parts: number])[] = [
  ['googlenet-bn', 2],
  ['googlenet-bn', 3],
  ['googlenet-bn', 4],
  ['inception-v3', 2],
]

export const pipelineBench: Bench = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-pipeline-bench-'))
  try {
    const rows: Row[] = []
    for (const [name, parts] of measured) {
      const size = publishedSizeOf(name)
      const network = imageNetwork({ network: name, size, classes: 1_000 })
      const layout = layoutOf(network.parameters)
      const values = initialise(layout, randomFor(name))
      const model = `${folder}/${name}.onnx`
      writeFileSync(model, encodeOnnx(servingGraph(network, { layout, values }, {})))
      const workload = { model, size, batch: 8, parts, batches: 20 * parts, rounds: 3 }
      rows.push(...(await pipelineRows(`${name} at ${size}`, workload)))
    }
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export interface PipelineWorkload {
  /** Path of an .onnx file of images of this size. */
  readonly model: string
  readonly size: number
  readonly batch: number
  readonly parts: number
  /** Batches of one measurement of one side. */
  readonly batches: number
  readonly rounds: number
}

/** Each of `parts` processes has one thread: on as many cores both sides have the same. */
export async function pipelineRows(name: string, workload: PipelineWorkload): Promise<Row[]> {
  const { model, size, batch, parts, batches, rounds } = workload
  const environment = realEnvironment({ seed: 1 })
  const { disk } = environment
  const system = createSystem({ environment, member: 'control', token: 'bench' })
  await system.listen()
  const module = new URL('../../actors/worker.ts', import.meta.url).href
  const pool = createPool({ system, module })
  const graph = decodeOnnx(disk.read(model))
  const { cuts } = await balanceCuts(graph, {
    parts,
    batch,
    openSession: (part) => openSession(part, { threads: 1 }),
    now: () => performance.now(),
  })
  const start = (prefix: string, count: number) =>
    startPredictPipeline({
      system,
      pool,
      model,
      parts: count,
      ...(count > 1 && { cuts }),
      name: prefix,
    })
  const cut = start('cut', parts)
  const whole = Array.from({ length: parts }, (_, index) => start(`whole${index}`, 1))
  const images = imagesOf(batch, size)
  const rate = async (pipelines: readonly { predict(batch: Tensor): Promise<unknown> }[]) => {
    const started = performance.now()
    await Promise.all(
      Array.from({ length: batches }, (_, index) =>
        pipelines[index % pipelines.length]!.predict(images),
      ),
    )
    return (1_000 * batches * batch) / (performance.now() - started) / parts
  }
  try {
    const samples: { cut: number; whole: number }[] = []
    for (let round = -1; round < rounds; round++) {
      const sample = { cut: await rate([cut]), whole: await rate(whole) }
      // The first warms up.
      if (round >= 0) samples.push(sample)
    }
    const ratios = samples.map((sample) => sample.cut / sample.whole)
    const unit = 'images/s/core'
    const [inParts, unsplit] = [samples.map((s) => s.cut), samples.map((s) => s.whole)]
    return [
      { ...row(`${name}: unsplit`, median(unsplit), unit), samples: unsplit },
      { ...row(`${name}: ${parts} processes`, median(inParts), unit), samples: inParts },
      atLeast(0.95, { ...row(`${name}: ratio`, median(ratios), ''), samples: ratios }),
    ]
  } finally {
    await Promise.all([cut, ...whole].map((pipeline) => pipeline.stop()))
    await pool.stop()
    system.stop()
  }
}

function imagesOf(batch: number, size: number): Tensor {
  const random = randomFor('pipeline bench')
  const shape = [batch, 3, size, size]
  return tensorOf(Float32Array.from({ length: batch * 3 * size ** 2 }, random.normal), shape)
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[Math.floor(samples.length / 2)] ?? 0
}
