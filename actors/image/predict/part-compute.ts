// What the compute thread of a part of a network for inference does: opens its part of a model file, and
// computes batches.
import type { Graph, Value } from '../../../models/graph.ts'
import { partsFor } from '../../../models/networks/balance.ts'
import type { Cuts } from '../../../models/networks/cut.ts'
import { decodeOnnx } from '../../../models/onnx-file.ts'
import { openSession, type Session } from '../../../models/session.ts'
import { assert } from '../../../protocol/assert.ts'
import type { Place } from '../../../protocol/prediction.ts'
import { elementCount, type Tensor } from '../../../protocol/tensor.ts'
import { type Disk, DiskError } from '../../../runtime/environment.ts'

export interface PartToPredict {
  /** Path of an .onnx file with one input. */
  readonly model: string
  readonly index: number
  readonly parts: number
  /** As `balanceCuts` found them; absent: by multiply-adds. */
  readonly cuts?: Cuts
  readonly threads: number
  readonly incarnation: number
  /** Folder of files in memory through which parts hand on what they made; absent: they send it. */
  readonly folder?: string
  /** Absent: the CPU. */
  readonly device?: string
}

/** What one part hands to the next: tensors, or where they lie. */
export interface Batch {
  readonly values: readonly Tensor[]
  readonly places?: readonly Place[]
}

export interface PredictCompute {
  openPart(part: PartToPredict): Promise<void>
  predictPart(batch: Batch): Promise<Batch>
}

interface Opened {
  readonly graph: Graph
  readonly session: Session
  readonly outputsFor: (batch: number) => Outputs
}

interface Outputs {
  readonly tensors: Readonly<Record<string, Tensor>>
  /** Of each, in the order of the graph's outputs; absent where they are sent. */
  readonly places?: readonly Place[]
}

export function predictCompute({ disk }: { readonly disk: Disk }): PredictCompute {
  let opened: Opened | undefined
  const mapped = new Map<string, Uint8Array>()
  const read = ({ path, shape }: Place): Tensor => {
    const bytes = mapped.get(path) ?? disk.map(path)
    // Of lives and sizes that are over.
    if (mapped.size > MAPPED_MAX) mapped.clear()
    mapped.set(path, bytes)
    return { dtype: 'float32', shape, bytes }
  }
  return {
    async openPart(part) {
      const { model, index, parts, cuts, threads, device = 'cpu' } = part
      const graph = partsFor(decodeOnnx(disk.read(model)), parts, cuts)[index]
      assert(graph !== undefined, `part ${index} of ${parts}`)
      const session = await openSession(graph, { threads, device })
      opened = { graph, session, outputsFor: outputsOf(graph, part, disk) }
    },
    async predictPart({ values: sent, places }) {
      assert(opened !== undefined, '`openPart` comes first')
      const { graph, session } = opened
      const values = places ? places.map(read) : sent
      assert(values.length === graph.inputs.length, 'a part is given all of its inputs')
      const feeds = graph.inputs.map(({ name }, index) => [name, values[index]!] as const)
      const into = opened.outputsFor(values[0]?.shape[0] ?? 1)
      await session.run(Object.fromEntries(feeds), into.tensors)
      if (into.places) return { values: [], places: into.places }
      return { values: graph.outputs.map(({ name }) => into.tensors[name]!) }
    },
  }
}

const MAPPED_MAX = 256

/**
 * Memory that is shared, with the next part's process or at least with the actor's thread, and used again in
 * turn. No more batches are on their way than there are parts and one; all of them once more where a part
 * has died.
 */
function outputsOf({ outputs }: Graph, part: PartToPredict, disk: Disk): Opened['outputsFor'] {
  const turns = 2 * (part.parts + 1)
  /** By the size of the batch. */
  const sizes = new Map<number, { readonly made: Map<number, Outputs>; usedAt: number }>()
  let count = 0
  /** What nobody can still be on the way to reading. */
  const forget = (): void => {
    for (const [size, { made, usedAt }] of sizes) {
      if (count - usedAt <= turns) continue
      sizes.delete(size)
      for (const { places = [] } of made.values()) {
        for (const { path } of places) disk.remove(path)
      }
    }
  }
  return (batch) => {
    count += 1
    forget()
    const size = sizes.get(batch) ?? { made: new Map<number, Outputs>(), usedAt: count }
    sizes.set(batch, size)
    size.usedAt = count
    const turn = count % turns
    const known = size.made.get(turn) ?? outputsIn(outputs, { batch, count, part, disk })
    size.made.set(turn, known)
    return known
  }
}

interface Turn {
  readonly batch: number
  /** Names the files: one that is gone may still be mapped by who reads the next. */
  readonly count: number
  readonly part: PartToPredict
  readonly disk: Disk
}

function outputsIn(outputs: readonly Value[], { batch, count, part, disk }: Turn): Outputs {
  const shapes = outputs.map(({ shape }) =>
    shape.map((extent) => (typeof extent === 'number' ? extent : batch)),
  )
  const tensorsOver = (bytes: (index: number, length: number) => Uint8Array) =>
    Object.fromEntries(
      outputs.map(({ name }, index): [string, Tensor] => {
        const shape = shapes[index] ?? []
        return [name, { dtype: 'float32', shape, bytes: bytes(index, 4 * elementCount(shape)) }]
      }),
    )
  const { folder, index: place, parts, incarnation } = part
  const { share } = disk
  if (folder !== undefined && share && place + 1 < parts) {
    const pathOf = (index: number) => `${folder}/${place}-${incarnation}-${count}-${index}`
    try {
      const tensors = tensorsOver((index, length) => share(pathOf(index), length))
      return { tensors, places: shapes.map((shape, index) => ({ path: pathOf(index), shape })) }
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      // The memory for files is small, or full: they are sent.
    }
  }
  return { tensors: tensorsOver((_, length) => new Uint8Array(new SharedArrayBuffer(length))) }
}
