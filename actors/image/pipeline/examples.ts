// What a part of a network is fed beside activations: images, targets and dropout masks of a micro-batch,
// cut from those of its minibatch, so that a minibatch in pieces is the minibatch that it is as a whole.
import { fillMinibatch } from '../../../models/images/augmentation.ts'
import type { ImageStore } from '../../../models/images/image-store.ts'
import { imageMinibatches } from '../../../models/images/minibatches.ts'
import { randomFor } from '../../../protocol/random.ts'
import { bytesOf, type Tensor, tensorOf } from '../../../protocol/tensor.ts'
import type { MicroRequest } from '../../pipeline/stage.ts'
import { masksOf } from '../masks.ts'
import type { Examples } from './compute.ts'
import type { ImageTask } from '../task.ts'

export function pipelineExamples(task: ImageTask, store: ImageStore): Examples {
  const { seed, batch, microBatches, augmentation } = task
  const rows = batch / microBatches
  const { size } = task.network
  const minibatches = imageMinibatches({ ...task, count: store.count })
  /** Of a pass, until it is back: its backward pass reads them too. */
  const filled = new Map<number, Float32Array>()
  const idle: Float32Array[] = []

  function imagesOf({ pass, sequence }: MicroRequest): Float32Array {
    const known = filled.get(pass)
    if (known) return known
    const into = idle.pop() ?? new Float32Array(batch * 3 * size ** 2)
    const random = randomFor(seed, 'minibatch', sequence)
    const { indices } = minibatches.of(sequence)
    fillMinibatch({ store, indices, augmentation, random, into })
    filled.set(pass, into)
    return into
  }

  function targetsOf({ sequence }: MicroRequest): BigInt64Array {
    const { indices } = minibatches.of(sequence)
    return BigInt64Array.from(indices, (index) => BigInt(store.labels[index] ?? 0))
  }

  return {
    async of(graph, request) {
      const [from, to] = [request.micro * rows, (request.micro + 1) * rows]
      const fed: Record<string, Tensor> = masksOf(graph, { ...request, seed, from, to })
      for (const { name } of graph.inputs) {
        if (name === 'images') {
          const image = 3 * size ** 2
          const own = imagesOf(request).subarray(from * image, to * image)
          fed[name] = tensorOf(own, [rows, 3, size, size])
        } else if (name === 'targets') {
          const own = targetsOf(request).subarray(from, to)
          fed[name] = { dtype: 'int64', shape: [rows], bytes: bytesOf(own) }
        }
      }
      return fed
    },
    release(pass) {
      const over = pass === undefined ? [...filled.keys()] : [pass]
      for (const each of over) {
        const images = filled.get(each)
        if (images) idle.push(images)
        filled.delete(each)
      }
    },
  }
}
