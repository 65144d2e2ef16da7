// What the compute thread of a part of a network for inference does: opens its part of a model file, and
// computes batches.
import type { Graph } from '../../models/graph.ts'
import { partsFor } from '../../models/networks/balance.ts'
import type { Cuts } from '../../models/networks/cut.ts'
import { decodeOnnx } from '../../models/onnx-file.ts'
import { openSession, type Session } from '../../models/session.ts'
import { assert } from '../../protocol/assert.ts'
import { elementCount, type Tensor } from '../../protocol/tensor.ts'
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
  readonly outputsFor: (batch: number) => Readonly<Record<string, Tensor>>
}

export function predictCompute({ disk }: { readonly disk: Disk }): PredictCompute {
  let opened: Opened | undefined
  return {
    async openPart({ model, index, parts, cuts, threads, device = 'cpu' }) {
      const graph = partsFor(decodeOnnx(disk.read(model)), parts, cuts)[index]
      assert(graph !== undefined, `part ${index} of ${parts}`)
      const session = await openSession(graph, { threads, device })
      opened = { graph, session, outputsFor: outputsOf(graph, parts) }
    },
    async predictPart(values) {
      assert(opened !== undefined, '`openPart` comes first')
      const { graph, session } = opened
      assert(values.length === graph.inputs.length, 'a part is given all of its inputs')
      const feeds = graph.inputs.map(({ name }, index) => [name, values[index]!] as const)
      const into = opened.outputsFor(values[0]?.shape[0] ?? 1)
      await session.run(Object.fromEntries(feeds), into)
      return graph.outputs.map(({ name }) => into[name]!)
    },
  }
}

/**
 * Shared with the actor's thread, which would else copy them, and used again in turn. No more batches are on
 * their way than there are parts and one; all of them once more where a part has died.
 */
function outputsOf({ outputs }: Graph, parts: number): Opened['outputsFor'] {
  const made = new Map<string, Tensor>()
  let turn = 0
  let size = 0
  return (batch) => {
    if (size !== batch) made.clear()
    size = batch
    turn = (turn + 1) % (2 * (parts + 1))
    return Object.fromEntries(
      outputs.map(({ name, shape: extents }) => {
        const shape = extents.map((extent) => (typeof extent === 'number' ? extent : batch))
        const known = made.get(`${turn}/${name}`)
        const bytes = known?.bytes ?? new Uint8Array(new SharedArrayBuffer(4 * elementCount(shape)))
        const tensor: Tensor = { dtype: 'float32', shape, bytes }
        made.set(`${turn}/${name}`, tensor)
        return [name, tensor]
      }),
    )
  }
}
