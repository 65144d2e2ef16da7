// What the compute thread of a part of a network for inference does: opens its part of a model file, and
// computes batches. What it answers lies in a buffer that the next batch of that size uses again.
import type { Graph } from '../../models/graph.ts'
import { partsFor } from '../../models/networks/balance.ts'
import type { Cuts } from '../../models/networks/cut.ts'
import { decodeOnnx } from '../../models/onnx-file.ts'
import { openSession, type Session } from '../../models/session.ts'
import { assert } from '../../protocol/assert.ts'
import { elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'

export interface PartToPredict {
  /** Path of an .onnx file with one input. */
  readonly model: string
  readonly index: number
  readonly parts: number
  /** As `balanceCuts` found them; absent: by multiply-adds. */
  readonly cuts?: Cuts
  readonly threads: number
  /** Absent: the CPU. */
  readonly device?: string
}

export interface PredictCompute {
  openPart(part: PartToPredict): Promise<void>
  predictPart(values: readonly Tensor[]): Promise<readonly Tensor[]>
}

interface Opened {
  readonly graph: Graph
  readonly session: Session
  /** By the size of the batch. */
  readonly outputs: Map<number, Readonly<Record<string, Tensor>>>
}

/** Sizes of batches that are remembered. */
const SIZES_MAX = 4

export function predictCompute({ disk }: { readonly disk: Disk }): PredictCompute {
  let opened: Opened | undefined
  return {
    async openPart({ model, index, parts, cuts, threads, device = 'cpu' }) {
      const graph = partsFor(decodeOnnx(disk.read(model)), parts, cuts)[index]
      assert(graph !== undefined, `part ${index} of ${parts}`)
      const session = await openSession(graph, { threads, device })
      opened = { graph, session, outputs: new Map() }
    },
    async predictPart(values) {
      assert(opened !== undefined, '`openPart` comes first')
      const { graph, session } = opened
      assert(values.length === graph.inputs.length, 'a part is given all of its inputs')
      const feeds = graph.inputs.map(({ name }, index) => [name, values[index]!] as const)
      const into = outputsFor(opened, values[0]?.shape[0] ?? 1)
      await session.run(Object.fromEntries(feeds), into)
      return graph.outputs.map(({ name }) => into[name]!)
    },
  }
}

function outputsFor({ graph, outputs }: Opened, batch: number): Readonly<Record<string, Tensor>> {
  const known = outputs.get(batch)
  if (known) return known
  if (outputs.size >= SIZES_MAX) outputs.clear()
  const made = Object.fromEntries(
    graph.outputs.map(({ name, shape: extents }) => {
      const shape = extents.map((extent) => (typeof extent === 'number' ? extent : batch))
      return [name, tensorOf(new Float32Array(elementCount(shape)), shape)]
    }),
  )
  outputs.set(batch, made)
  return made
}
