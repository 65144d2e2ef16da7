// A run as a script has it: its events, its end, and what may be done to it meanwhile.
import type { RunEvent } from '../events.ts'
import type { RunInsight } from '../insight.ts'
import type { Report } from '../report.ts'
import type { RunOptions } from './options.ts'
import type { RunSteering } from './steering.ts'

export type GivenOptions = Partial<Omit<RunOptions, 'chaos'>> & { readonly chaos?: string }

export interface Run<R extends Report = Report> extends RunSteering {
  readonly task: R['task']
  readonly options: RunOptions
  /** Of its control plane, where it has one; `pageUrl` is for a browser and carries the token. */
  readonly url: string | undefined
  readonly pageUrl: string | undefined
  /** Everything that happens from now on; ends with the run. Bounded: a slow reader misses progress. */
  events(): AsyncIterable<RunEvent>
  readonly done: Promise<R>
  /** Checkpoints and stops every process; `done` rejects with `RunStoppedError`. */
  stop(): Promise<void>
  /** What people look at. Absent while the run prepares; it stays when the run has ended. */
  insight(): RunInsight | undefined
  [Symbol.asyncDispose](): Promise<void>
}
