// What an actor framework is asked to do, four times, and what it must answer: how much of it was done.

/** Everything counts only what an actor has seen; the promise resolves when the last of it was seen. */
export interface Framework {
  readonly version: string
  /** Starts so many actors at once, then stops them all; confirmed by their own hooks. */
  spawnAndStop(count: number): Promise<number>
  /** To one counter, then an ask that reads and resets it. `count` is one of the batches. */
  tells(count: number): Promise<number>
  /** One after the other: 'hi', answered by 'echo:hi'. */
  asks(count: number): Promise<number>
  /** Two actors exchange a ball; begun and ended by one ask. */
  volley(exchanges: number): Promise<number>
}

export interface FrameworkOptions {
  /** Where the benchmark has installed packages that are not ours. */
  readonly folder: string
  /** Sizes of the batches of `tells`: a bounded mailbox must hold one and the ask after it. */
  readonly batches: readonly number[]
}

export type CreateFramework = (options: FrameworkOptions) => Promise<Framework>

export const frameworkNames = ['troupe', 'nact', 'xstate', 'xstate-transition'] as const
export type FrameworkName = (typeof frameworkNames)[number]

export interface Workload {
  readonly name: 'spawn' | 'tell-1k' | 'tell-10k' | 'ask' | 'ping-pong'
  readonly iterations: number
  /** Operations of one iteration. */
  readonly size: number
}

/** What one process measures of one framework. */
export interface Round {
  readonly version: string
  readonly results: readonly Result[]
}

export interface Result {
  readonly name: Workload['name']
  /** Operations a second, median of the repeats. */
  readonly rate: number
  /** Operations of one repeat that actors have seen. */
  readonly count: number
}

export interface RoundOptions {
  readonly framework: FrameworkName
  readonly folder: string
  readonly workloads: readonly Workload[]
  readonly warmMs: number
  readonly repeats: number
}
