// Both ends of a compute thread: a Worker that may block for long, and the handle that the actors' thread
// holds. A fault in the thread ends the process: what it left half done cannot be trusted.
import type { ComputeThread } from '../environment.ts'

/** `never`: each method validates, or knows, its own argument. */
export type ComputeMethods = Readonly<Record<string, (argument: never) => unknown>>

interface Request {
  readonly id: number
  readonly method: string
  readonly argument: unknown
}

type Response =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly name: string; readonly message: string }

/** What a method threw, on the side of the caller. */
export class ComputeError extends Error {
  override readonly name = 'ComputeError'
}

/** Called by the module of a compute thread. Calls are served one at a time, in order. */
export function serveCompute(methods: ComputeMethods): void {
  const scope = globalThis as unknown as ThreadScope
  let last: Promise<void> = Promise.resolve()
  scope.onmessage = ({ data }) => {
    last = last.then(async () => scope.postMessage(await serve(methods, data)))
  }
}

/** `faulted` is told of an error outside of any call: the process is to end. */
export function computeThread(worker: Worker, faulted: (error: Error) => void): ComputeThread {
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let lastId = 0
  let isClosing = false
  const endWhenIdle = (): void => {
    if (isClosing && pending.size === 0) worker.terminate()
  }
  worker.onmessage = ({ data }: MessageEvent<Response>) => {
    const call = pending.get(data.id)
    pending.delete(data.id)
    if (data.ok) call?.resolve(data.value)
    else call?.reject(new ComputeError(`${data.name}: ${data.message}`))
    endWhenIdle()
  }
  worker.onerror = (event) => {
    // On Deno it would be thrown here once more, without saying what it is.
    event.preventDefault()
    const error = new ComputeError(`the compute thread failed: ${lineOf(event.message)}`)
    for (const call of pending.values()) call.reject(error)
    pending.clear()
    faulted(error)
  }
  return {
    call(method, argument) {
      if (isClosing) return Promise.reject(new ComputeError(`${method}: the thread is closed`))
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      const id = ++lastId
      pending.set(id, { resolve, reject })
      worker.postMessage({ id, method, argument } satisfies Request)
      return promise
    },
    close() {
      isClosing = true
      endWhenIdle()
    },
  }
}

/** Bun's message holds a piece of the source and a stack too. */
function lineOf(message: string): string {
  return /^(?:Uncaught )?(\w*Error: .*)$/m.exec(message)?.[1] ?? message
}

interface ThreadScope {
  onmessage: (event: { data: Request }) => void
  postMessage(response: Response): void
}

async function serve(
  methods: ComputeMethods,
  { id, method, argument }: Request,
): Promise<Response> {
  try {
    const run = Object.hasOwn(methods, method) ? methods[method] : undefined
    if (!run) throw new ComputeError(`no method ${method}: ${Object.keys(methods).join(', ')}`)
    return { id, ok: true, value: await run(argument as never) }
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error))
    return { id, ok: false, name, message }
  }
}
