// What the pieces of a run share, whatever it trains: the world it runs in, how it may end, and what is
// under way.
import type { ComputeThread, Environment } from '../../runtime/index.ts'
import type { Cluster } from '../cluster.ts'
import type { PhaseName, RunEvent } from '../events.ts'
import type { FinishedStep } from '../example-source.ts'
import type { RunOptions } from './options.ts'
import { type RunRecord, saveRecord } from './record.ts'

export interface RunWorld<Options extends RunOptions = RunOptions> {
  readonly environment: Environment
  readonly options: Options
  readonly emit: (event: RunEvent) => void
  /** Modules of the worker processes and of the compute threads. */
  readonly workerModule: string
  readonly computeModule: string
  /** Compute threads of the control process: preparation, evaluation. */
  readonly threads: number
  /** Links may be broken on request. */
  readonly allowFaults?: boolean
}

/** The run was stopped before its end; `--resume` goes on from here. */
export class RunStoppedError extends Error {
  override readonly name = 'RunStoppedError'
}

export class RunFailedError extends Error {
  override readonly name = 'RunFailedError'
}

/** Everything the parts of a run share once it is under way. */
export interface UnderWay<Record extends RunRecord = RunRecord> {
  readonly world: RunWorld<Record['options']>
  readonly cluster: Cluster
  readonly threads: readonly ComputeThread[]
  readonly halt: Halt
  readonly examplesPlanned: number
  /** When this life of the run began, and the seconds of all lives before. */
  readonly begun: number
  readonly secondsBefore: number
  record: Record
  onStep: (step: FinishedStep) => void
  /** The part that is training, where one is. */
  part?: { readonly name: string } | undefined
}

/** Keeps what the run must not forget; time, deaths and sums so far always go with it. */
export function keep<Record extends RunRecord>(
  run: UnderWay<Record>,
  changes: Partial<Record> = {},
): void {
  const { environment, options } = run.world
  run.record = {
    ...run.record,
    isTraining: true,
    seconds: run.secondsBefore + (environment.clock.now() - run.begun) / 1000,
    restarts: run.cluster.restarts(),
    ...changes,
  }
  saveRecord(environment.disk, options.out, run.record)
}

/** Ends a run from outside of its course: Ctrl-C, a process that keeps dying, a judge that fails. */
export interface Halt {
  readonly because: (error: unknown) => void
  /** What is waited for, or the end of the run. */
  until<T>(promise: Promise<T>): Promise<T>
}

export function createHalt(): Halt {
  const { promise: halted, reject } = Promise.withResolvers<never>()
  halted.catch(() => {})
  return { because: reject, until: (promise) => Promise.race([promise, halted]) }
}

/** Says how long a phase took when it is over. */
export async function timed<T>(
  { environment, emit }: Pick<RunWorld, 'environment' | 'emit'>,
  phase: PhaseName,
  work: Promise<T>,
): Promise<T> {
  const { clock } = environment
  const begun = clock.now()
  const result = await work
  emit({ type: 'phase-ended', phase, seconds: (clock.now() - begun) / 1000 })
  return result
}
