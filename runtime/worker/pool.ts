import type { Exit } from '../environment.ts'
import type { RestartLimit, RestartPolicy } from '../supervision.ts'
import type { System } from '../system.ts'

export interface PoolOptions {
  readonly system: System
  /** The module a worker process runs: it calls `runWorker`. */
  readonly module: string
  readonly limits?: Partial<PoolLimits>
}

export interface PoolLimits {
  /** Spawn to ready. */
  readonly startMsMax: number
  /** `stop`: until SIGTERM, and from there until SIGKILL. */
  readonly drainMsMax: number
  readonly termMsMax: number
  readonly restartDelayMs: number
  readonly restartDelayMsMax: number
}

/** An actor that a worker process starts; `config` is plain JSON (refs as addresses). */
export interface ActorStart {
  readonly kind: string
  readonly name: string
  readonly config: unknown
}

export interface WorkerOptions {
  /** The member's name. */
  readonly name: string
  /** Default permanent. */
  readonly restart?: RestartPolicy
  readonly restartLimit?: RestartLimit
  readonly actors: (incarnation: number) => readonly ActorStart[]
  readonly onEvent?: (event: PoolEvent) => void
}

export type PoolEvent =
  | { readonly type: 'started'; readonly incarnation: number; readonly processId: number }
  | { readonly type: 'ready'; readonly incarnation: number; readonly msSinceSpawn: number }
  | {
      readonly type: 'exited'
      readonly incarnation: number
      readonly exit: Exit
      readonly cause: string
    }
  | { readonly type: 'restarting'; readonly incarnation: number; readonly delayMs: number }
  | { readonly type: 'gave-up'; readonly incarnation: number; readonly cause: string }

export interface PoolWorker {
  readonly name: string
  readonly incarnation: number
  readonly processId: number | undefined
  readonly state: 'starting' | 'ready' | 'waiting' | 'stopping' | 'stopped'
  /** Asks it to drain and stop, then SIGTERM, then SIGKILL; resolves when the process is gone. */
  stop(): Promise<void>
  /** For chaos: what follows is what would follow a real death. */
  kill(processSignal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void
}

export interface Pool {
  readonly workers: ReadonlyMap<string, PoolWorker>
  /** Starts a process and keeps it alive by its restart policy. Names are unique. */
  start(options: WorkerOptions): PoolWorker
  /** Stops every worker. */
  stop(): Promise<void>
}

export declare function createPool(options: PoolOptions): Pool
