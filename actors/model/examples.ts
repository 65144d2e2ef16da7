// What a model is fine-tuned on: rows of tensors by the names of its inputs, or images of a store.
import { fillMinibatch, noAugmentation } from '../../models/images/augmentation.ts'
import { type ImageStore, openImageStore } from '../../models/images/image-store.ts'
import { decodeSafetensors } from '../../models/safetensors.ts'
import { randomFor } from '../../protocol/random.ts'
import { bytesOf, elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'

export class ExamplesError extends Error {
  override readonly name = 'ExamplesError'
}

export interface Examples {
  readonly count: number
  /** Extents of a row, by input. */
  readonly rows: ReadonlyMap<string, readonly number[]>
  /** Whether targets are class numbers, and how many classes there are then. */
  readonly classes: number | undefined
  /** A minibatch: every input, and `targets`. */
  gather(indices: Uint32Array): Record<string, Tensor>
}

const TARGETS = 'targets'

/** `image`: the name of the input that a store of images feeds. Throws `ExamplesError`. */
export function openExamples(disk: Disk, path: string, { image }: { image: string }): Examples {
  const bytes = disk.map(path)
  return path.endsWith('.safetensors')
    ? tensorExamples(decodeSafetensors(bytes).tensors, path)
    : imageExamples(openImageStore(bytes), image)
}

function tensorExamples(tensors: ReadonlyMap<string, Tensor>, path: string): Examples {
  const targets = tensors.get(TARGETS)
  if (!targets) throw new ExamplesError(`${path} has no tensor named ${TARGETS}`)
  const [count = 0] = targets.shape
  for (const [name, { shape }] of tensors) {
    if (shape[0] === count && count > 0) continue
    throw new ExamplesError(`${path}: ${name} has ${shape[0] ?? 0} rows, ${TARGETS} has ${count}`)
  }
  return {
    count,
    rows: new Map([...tensors].map(([name, { shape }]) => [name, shape.slice(1)])),
    classes: targets.dtype === 'int64' ? 1 + Math.max(...integersOf(targets)) : undefined,
    gather: (indices) =>
      Object.fromEntries([...tensors].map(([name, tensor]) => [name, rowsOf(tensor, indices)])),
  }
}

function rowsOf({ dtype, shape, bytes }: Tensor, indices: Uint32Array): Tensor {
  const rowBytes = bytes.byteLength / (shape[0] ?? 1)
  const made = new Uint8Array(rowBytes * indices.length)
  indices.forEach((index, row) => {
    made.set(bytes.subarray(index * rowBytes, (index + 1) * rowBytes), row * rowBytes)
  })
  return { dtype, shape: [indices.length, ...shape.slice(1)], bytes: made }
}

function integersOf({ bytes }: Tensor): number[] {
  return Array.from(new BigInt64Array(new Uint8Array(bytes).buffer), Number)
}

function imageExamples(store: ImageStore, image: string): Examples {
  const { size, count, classes, labels } = store
  const row = [3, size, size]
  return {
    count,
    rows: new Map([
      [image, row],
      [TARGETS, []],
    ]),
    classes: classes.length,
    gather(indices) {
      const into = new Float32Array(indices.length * elementCount(row))
      const random = randomFor('none')
      fillMinibatch({ store, indices, augmentation: noAugmentation, random, into })
      const numbers = BigInt64Array.from(indices, (index) => BigInt(labels[index] ?? 0))
      return {
        [image]: tensorOf(into, [indices.length, ...row]),
        [TARGETS]: { dtype: 'int64', shape: [indices.length], bytes: bytesOf(numbers) },
      }
    },
  }
}

/** Rows to train on, and a tenth to judge by, drawn by the seed. */
export function splitRows(
  count: number,
  seed: number,
): { readonly train: Uint32Array; readonly test: Uint32Array } {
  const random = randomFor(seed, 'held out rows')
  const drawn = Array.from({ length: count }, (_, row) => ({ row, at: random.next() }))
  const order = drawn.sort((a, b) => a.at - b.at).map(({ row }) => row)
  const held = Math.ceil(count / 10)
  return {
    test: Uint32Array.from(order.slice(0, held)),
    train: Uint32Array.from(order.slice(held)),
  }
}
