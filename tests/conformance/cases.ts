// Cases are data, so that `bun test` and Deno run the same ones. Nothing here or in a case may belong to
// one of the two.
import process from 'node:process'

export type Case<Fixture> = readonly [name: string, run: (fixture: Fixture) => Promise<void>]

export interface Group {
  readonly name: string
  readonly cases: readonly (readonly [name: string, run: () => Promise<void>])[]
}

/** Each case has a fixture of its own. */
export function group<Fixture extends AsyncDisposable>(
  name: string,
  open: () => Fixture | Promise<Fixture>,
  cases: readonly Case<Fixture>[],
): Group {
  const bound = cases.map(([title, run]) => {
    const runOnce = async (): Promise<void> => {
      await using fixture = await open()
      await run(fixture)
    }
    return [title, runOnce] as const
  })
  return { name, cases: bound }
}

/** No case takes longer. */
export const CASE_MS_MAX = 20_000

export const isOnLinux = process.platform === 'linux'

export async function messageOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'no error',
    (error: Error) => error.message,
  )
}

/** What happened, in order; a reader waits for the next. */
export interface Queue<T> {
  readonly all: readonly T[]
  put(item: T): void
  take(): Promise<T>
}

export function queue<T>(): Queue<T> {
  const all: T[] = []
  let taken = 0
  let wake = Promise.withResolvers<void>()
  return {
    all,
    put(item) {
      all.push(item)
      wake.resolve()
      wake = Promise.withResolvers()
    },
    async take() {
      while (taken === all.length) await wake.promise
      return all[taken++] as T
    },
  }
}
