// The public surface of the actor framework: `troupe/runtime`.
export { type Address, formatAddress, type Ref, type SendResult } from '../protocol/address.ts'
export type { Envelope, Lane } from '../protocol/envelope.ts'
export { type Limits, limits } from '../protocol/limits.ts'
export {
  bytes,
  DecodeError,
  flag,
  type Infer,
  integer,
  list,
  literal,
  none,
  number,
  type Optional,
  optional,
  plain,
  record,
  ref,
  replyTo,
  type Schema,
  struct,
  tensor,
  text,
  u32,
  union,
} from '../protocol/schema.ts'
export type { DType, Tensor } from '../protocol/tensor.ts'
export * from './actor.ts'
export { type Engine, EngineError } from './engine.ts'
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
export { type InjectedFault, injectFault } from './cluster/inject.ts'
export type { Injection } from './worker/assignment.ts'
export {
  createObserver,
  type MemberStatus,
  type Observation,
  type Observer,
  type ObserverOptions,
} from './cluster/observer.ts'
export type { Resources } from './cluster/resources.ts'
export { ProtectedActorError, steerActor } from './cluster/steer.ts'
export type { BacklogCounts } from './delivery/backlog.ts'
export { type Deliverable, deliverable } from './delivery/deliverable.ts'
export {
  createDeliveries,
  type DeliverOptions,
  type Deliveries,
  type DeliveriesOptions,
  DeliveryError,
  type DeliveryFailure,
  deliver,
  type Producer,
} from './delivery/deliveries.ts'
export type { Delivery, DeliveryAnswer } from './delivery/envelope.ts'
export { type InboxLimits, inboxLimits } from './delivery/inbox.ts'
export { type OutboxLimits, outboxLimits } from './delivery/outbox.ts'
export {
  type QueueWorkerConfig,
  type QueueWorkerMessage,
  type QueueWorkerOptions,
  queueWorker,
  type WorkContext,
} from './delivery/queue-worker.ts'
export {
  type GivenUp,
  type Work,
  type WorkerRef,
  type WorkQueueConfig,
  type WorkQueueMessage,
  type WorkQueueRef,
  workQueue,
} from './delivery/work-queue.ts'
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
export { type LogLevel, type LogLinesOptions, logLines } from './log-lines.ts'
export {
  createMemberLog,
  type MemberLog,
  type MemberLogEntry,
  type MemberLogPart,
} from './member-log.ts'
export { type MemberReport, reportOf } from './member-status.ts'
export { type Journal, openJournal } from './journal.ts'
export {
  type Backoff,
  backoffMs,
  judgeDeath,
  type RestartLimit,
  type RestartPolicy,
  type Strategy,
  type Supervision,
  type Verdict,
} from './supervision.ts'
export {
  type ActorStatus,
  createSystem,
  type LinkStatus,
  type MemberEntry,
  type Metrics,
  type System,
  type SystemOptions,
} from './system.ts'
export type { Span } from './spans.ts'
export {
  exportTraces,
  type TraceExport,
  type TraceExportOptions,
  traceExportOptions,
} from './trace-export.ts'
export type { LinkFault } from './transport/gate.ts'
export { type Topic, topic } from './topics.ts'
export { type ComputeMethods, serveCompute } from './worker/compute.ts'
export {
  type DeviceDecision,
  type DeviceOptions,
  type DevicePolicy,
  type DeviceReason,
  decideDevice,
  NoDeviceError,
} from './worker/devices.ts'
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
