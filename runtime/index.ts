// The public surface of the actor framework: `troupe/runtime`.
export { type Address, formatAddress, type Ref, type SendResult } from '../protocol/address.ts'
export type { Envelope, Lane } from '../protocol/envelope.ts'
export { type Limits, limits } from '../protocol/limits.ts'
export * from './actor.ts'
export {
  decidePlacement,
  type MemberUsage,
  type Offer,
  PlacementError,
  type PlacementStrategy,
  type Reservation,
} from './cluster/capacity.ts'
export {
  createPlacement,
  type Placed,
  type Placement,
  type PlacementOptions,
  type PlaceOptions,
} from './cluster/placement.ts'
export type { Resources } from './cluster/resources.ts'
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
export {
  type Mesh,
  type MeshEntry,
  MeshError,
  type MeshFailure,
  type MeshOptions,
  type MeshOutcome,
  type MeshReply,
  mesh,
  type Settle,
  type Settled,
  type Tally,
} from './groups/mesh.ts'
export {
  byChance,
  type Choice,
  type ConsistentHashOptions,
  consistentHash,
  leastLoaded,
  type Picker,
  roundRobin,
} from './groups/picker.ts'
export {
  type PoolControl,
  type PoolDefinition,
  type PoolOfOptions,
  poolOf,
} from './groups/pool-of.ts'
export { type GroupMessage, type GroupNews, groupNews, groupRegistry } from './groups/registry.ts'
export type { RouterMessage } from './groups/routees.ts'
export {
  type RouterConfig,
  type RouterDefinition,
  type RouterOptions,
  routerOf,
} from './groups/router.ts'
export type { CoordinateRange, Coordinates, Remaining, Shape, Slice } from './groups/shape.ts'
export { type SpawnMeshOptions, spawnMesh } from './groups/spawn-mesh.ts'
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
