// Work in parts over several compute threads: each takes the next part when it is free; results come in
// order. At most one part a thread is under way, so memory stays bounded.
import type { ComputeThread } from '../runtime/environment.ts'

export interface Part {
  readonly from: number
  readonly to: number
}

export async function inParts<R>(
  threads: readonly ComputeThread[],
  options: {
    readonly total: number
    readonly partSize: number
    readonly work: (thread: ComputeThread, part: Part) => Promise<unknown>
    /** In order of the parts. */
    readonly take: (result: R, part: Part) => void
  },
): Promise<void> {
  const { total, partSize, work, take } = options
  const waiting = new Map<number, { result: R; part: Part }>()
  let next = 0
  let taken = 0
  const runner = async (thread: ComputeThread): Promise<void> => {
    while (next < total) {
      const part = { from: next, to: Math.min(total, next + partSize) }
      next = part.to
      waiting.set(part.from, { result: (await work(thread, part)) as R, part })
      for (let ready = waiting.get(taken); ready; ready = waiting.get(taken)) {
        waiting.delete(taken)
        taken = ready.part.to
        take(ready.result, ready.part)
      }
    }
  }
  await Promise.all(threads.map(runner))
}
