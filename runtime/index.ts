// The public surface of the actor framework: `troupe/runtime`.
export { type Address, formatAddress, type Ref, type SendResult } from '../protocol/address.ts'
export type { Envelope, Lane } from '../protocol/envelope.ts'
export { type Limits, limits } from '../protocol/limits.ts'
export * from './actor.ts'
export { type Engine, EngineError } from './engine.ts'
export {
  type Clock,
  type ComputeThread,
  type Disk,
  DiskError,
  DiskFullError,
  type Environment,
  type Exit,
} from './environment.ts'
export { type RealEnvironmentOptions, realEnvironment } from './environment-real.ts'
export type { InspectionEvent, Listener } from './inspect.ts'
export {
  type Backoff,
  backoffMs,
  judgeDeath,
  type RestartLimit,
  type RestartPolicy,
  type Verdict,
} from './supervision.ts'
export { createSystem, type MemberEntry, type System, type SystemOptions } from './system.ts'
export { type ComputeMethods, serveCompute } from './worker/compute.ts'
export { type RunWorkerOptions, runWorker } from './worker/entry.ts'
export {
  type ActorStart,
  createPool,
  type Pool,
  type PoolEvent,
  type PoolOptions,
  type PoolWorker,
  type WorkerOptions,
} from './worker/pool.ts'
