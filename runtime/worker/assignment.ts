// What a pool and its worker processes say to each other.
import {
  flag,
  type Infer,
  integer,
  list,
  literal,
  number,
  optional,
  plain,
  ref,
  replyTo,
  struct,
  text,
  union,
} from '../../protocol/schema.ts'
import { Resources } from '../cluster/resources.ts'
import type { MemberReport } from '../member-status.ts'

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
  /** Whoever asks may break its links for a while. */
  allowFaults: optional(flag),
  limits: struct({ heartbeatMs: number, silenceMsMax: number, reconnectMsMax: number }),
})
export type Assignment = Infer<typeof Assignment>

export const PoolMessage = union({
  ready: { incarnation: integer, worker: ref<WorkerMessage>() },
  /** Last words before the process ends by itself. */
  failing: { member: text, incarnation: integer, cause: text, deviceFault: flag },
})
export type PoolMessage = Infer<typeof PoolMessage>

export const ActorVerb = literal('stop', 'drain', 'restart', 'crash')
export type ActorVerb = Infer<typeof ActorVerb>

/** forbidden: its process was started without leave; unreachable: it has no such link. */
export type Injection = 'accepted' | 'forbidden' | 'unreachable'

export const WorkerMessage = union({
  stop: { drainMs: number },
  /** `after`: of the member's log, what was heard already. */
  status: { after: integer, replyTo: replyTo<MemberReport>() },
  /** 'stopped': there is no such actor. */
  actor: { path: text, verb: ActorVerb, replyTo: replyTo<'accepted' | 'stopped'>() },
  /** `to`: only on this link. `ms`: of a delay. */
  fault: {
    kind: literal('delay', 'partition'),
    ms: number,
    durationMs: number,
    to: optional(text),
    replyTo: replyTo<Injection>(),
  },
})
export type WorkerMessage = Infer<typeof WorkerMessage>

export const WORKER_NAME = 'worker'
