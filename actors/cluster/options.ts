// What a cluster is started with, and what it is told of each phase.
import type { RoleSection } from '../../models/parameters.ts'
import type { PhaseStart, StepKind } from '../../protocol/training.ts'
import type { Engine } from '../../runtime/engine.ts'
import type { Clock } from '../../runtime/environment.ts'
import type { System } from '../../runtime/system.ts'
import type { DeviceOptions } from '../../runtime/worker/devices.ts'
import type { Pool } from '../../runtime/worker/pool.ts'
import type { RunEvent } from '../events.ts'
import type { FinishedStep } from '../example-source.ts'
import type { Pipeline } from '../pipeline/processes.ts'
import type { Restart } from '../report.ts'
import type { TrainerConfig } from '../trainer.ts'

export interface ClusterOptions {
  readonly system: System
  readonly pool: Pool
  readonly clock: Clock
  /** Where the shards keep their snapshots and journals. */
  readonly folder: string
  readonly ranges: readonly { readonly offset: number; readonly length: number }[]
  /** What the whole vector is made of; absent: weights. */
  readonly sections?: readonly RoleSection[]
  readonly trainerKind: string
  /** What runs a trainer; undefined: what runs this process. */
  readonly trainerEngine: (index: number) => Engine | undefined
  /** Replicas that the whole plan knows: those that are added have names after theirs. Default 0. */
  readonly replicas?: number
  readonly latticeWorkers: number
  /** How a trainer is cut into subnetworks, each a process of its own; absent: it is one process. */
  readonly pipeline?: Pipeline
  /** Everything of a trainer's configuration but who it is and whom it talks to. */
  readonly trainer: Pick<TrainerConfig, 'codec' | 'task' | 'lanes' | 'stepMsMax'>
  /** What trainers compute on: one device each, and their task on it. Absent: `trainer.task`. */
  readonly devices?: DeviceOptions & { readonly taskOn: (device: string) => unknown }
  /** Deaths of earlier lives of the run. */
  readonly restarts: readonly Restart[]
  readonly emit: (event: RunEvent) => void
  readonly onFinished: (step: FinishedStep) => void
  /** A process that keeps dying: the run cannot go on. */
  readonly onGaveUp: (cause: string) => void
}

export interface PhasePlan {
  readonly start: Omit<PhaseStart, 'parameters' | 'trainers' | 'sections'>
  readonly kind: StepKind
  /** Trainers that may take part: 1 in the warm start. */
  readonly trainers: number
  /** Steps that one trainer may have under way. */
  readonly lanes: number
  readonly parameters?: Float32Array
  readonly configuration: unknown
}
