// What a pool and its worker processes say to each other.
import {
  flag,
  type Infer,
  integer,
  list,
  number,
  optional,
  plain,
  ref,
  struct,
  text,
  union,
} from '../../protocol/schema.ts'
import { Resources } from '../cluster/resources.ts'

/** The one argument of a worker process. */
export const Assignment = struct({
  member: text,
  incarnation: integer,
  /** URL of the control member. */
  control: text,
  token: text,
  /** What this process owns, where its pool gives out devices; its actors have it in their config too. */
  device: optional(text),
  pool: struct({ member: text, path: text }),
  actors: list(struct({ kind: text, name: text, config: plain })),
  resources: optional(Resources),
  limits: struct({ heartbeatMs: number, silenceMsMax: number, reconnectMsMax: number }),
})
export type Assignment = Infer<typeof Assignment>

export const PoolMessage = union({
  ready: { incarnation: integer, worker: ref<WorkerMessage>() },
  /** Last words before the process ends by itself. */
  failing: { member: text, incarnation: integer, cause: text, deviceFault: flag },
})
export type PoolMessage = Infer<typeof PoolMessage>

export const WorkerMessage = union({ stop: { drainMs: number } })
export type WorkerMessage = Infer<typeof WorkerMessage>

export const WORKER_NAME = 'worker'
