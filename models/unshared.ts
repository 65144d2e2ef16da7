// ONNX Runtime on Deno takes no tensor over a SharedArrayBuffer ("Invalid argument"): its Node-API hands
// native code only memory of one thread. There shared tensors go through buffers of our own.
import process from 'node:process'
import type { Tensor } from '../protocol/tensor.ts'

type Tensors = Readonly<Record<string, Tensor>>

export interface Unshared {
  readonly feeds: Tensors
  readonly fetches: Tensors
  /** After the run: what was fetched lies where it was wanted. */
  settle(): void
}

/** Of one session: the buffers are used again, though never by two runs at a time. */
export type Unsharing = (feeds: Tensors, fetches: Tensors) => Unshared

export function unsharing(isNeeded = process.versions.deno !== undefined): Unsharing {
  if (!isNeeded) return (feeds, fetches) => ({ feeds, fetches, settle() {} })
  const idle = new Map<string, Uint8Array>()
  return (feeds, fetches) => {
    const used = new Map<string, Uint8Array>()
    const replace = (
      tensors: Tensors,
      use: (own: Uint8Array, shared: Uint8Array) => void,
    ): Tensors =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => {
          if (!isShared(tensor)) return [name, tensor]
          const { byteLength } = tensor.bytes
          const kept = idle.get(name)
          idle.delete(name)
          const bytes = kept?.byteLength === byteLength ? kept : new Uint8Array(byteLength)
          used.set(name, bytes)
          use(bytes, tensor.bytes)
          return [name, { ...tensor, bytes }]
        }),
      )
    const wanted: [own: Uint8Array, shared: Uint8Array][] = []
    const own = {
      feeds: replace(feeds, (bytes, shared) => bytes.set(shared)),
      fetches: replace(fetches, (bytes, shared) => wanted.push([bytes, shared])),
    }
    return {
      ...own,
      settle() {
        for (const [bytes, shared] of wanted) shared.set(bytes)
        for (const [name, bytes] of used) idle.set(name, bytes)
      },
    }
  }
}

function isShared({ bytes }: Tensor): boolean {
  return bytes.buffer instanceof SharedArrayBuffer
}
