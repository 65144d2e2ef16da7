// What the compute thread of a part of a network for inference does: opens its part of a model file, and
// computes batches. What it answers lies in a buffer that the next batch of that size uses again.
import type { Graph } from '../../models/graph.ts'
import { cutGraph } from '../../models/networks/cut.ts'
import { decodeOnnx } from '../../models/onnx-file.ts'
import { openSession, type Session } from '../../models/session.ts'
import { assert } from '../../protocol/assert.ts'
import { elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'

export interface PartToPredict {
  /** Path of an .onnx file with one input and one output. */
  readonly model: string
  readonly index: number
  readonly parts: number
  readonly threads: number
  /** Absent: the CPU. */
  readonly device?: string
}

export interface PredictCompute {
  openPart(part: PartToPredict): Promise<void>
  predictPart(values: Tensor): Promise<Tensor>
}

interface Opened {
  readonly graph: Graph
  readonly session: Session
  /** By the size of the batch. */
  readonly outputs: Map<number, Tensor>
}

/** Sizes of batches that are remembered. */
const SIZES_MAX = 4

export function predictCompute({ disk }: { readonly disk: Disk }): PredictCompute {
  let opened: Opened | undefined
  return {
    async openPart({ model, index, parts, threads, device = 'cpu' }) {
      const graph = cutGraph(decodeOnnx(disk.read(model)), parts)[index]
      assert(graph !== undefined, `part ${index} of ${parts}`)
      const session = await openSession(graph, { threads, device })
      opened = { graph, session, outputs: new Map() }
    },
    async predictPart(values) {
      assert(opened !== undefined, '`openPart` comes first')
      const { graph, session } = opened
      const [input, output] = [graph.inputs[0], graph.outputs[0]]
      assert(input !== undefined && output !== undefined, 'a part has an input and an output')
      const into = outputFor(opened, values.shape[0] ?? 1)
      await session.run({ [input.name]: values }, { [output.name]: into })
      return into
    },
  }
}

function outputFor({ graph, outputs }: Opened, batch: number): Tensor {
  const known = outputs.get(batch)
  if (known) return known
  if (outputs.size >= SIZES_MAX) outputs.clear()
  const extents = graph.outputs[0]?.shape ?? []
  const shape = extents.map((extent) => (typeof extent === 'number' ? extent : batch))
  const made = tensorOf(new Float32Array(elementCount(shape)), shape)
  outputs.set(batch, made)
  return made
}
