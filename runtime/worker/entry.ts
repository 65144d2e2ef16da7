import type { AnyDefinition } from '../actor.ts'
import type { Environment } from '../environment.ts'

export interface RunWorkerOptions {
  /** Every kind that this process may be told to start. */
  readonly definitions: readonly AnyDefinition[]
  /** Default: `realEnvironment`, seeded with the member's name and incarnation. */
  readonly environment?: Environment
  /** The process ends when control cannot be reached for longer. Default 10 s. */
  readonly controlLostMsMax?: number
}

/** What a worker process runs. Resolves when its actors are started; the process lives on. */
export declare function runWorker(options: RunWorkerOptions): Promise<void>
