// What the systems of two members say to each other. Addressed to the path `/`, in the signal lane.
import {
  type Infer,
  integer,
  list,
  literal,
  optional,
  struct,
  text,
  union,
} from '../protocol/schema.ts'
import { Resources } from './cluster/resources.ts'

export const MemberEntry = struct({
  member: text,
  incarnation: integer,
  /** Absent where the member does not listen. */
  url: optional(text),
  /** What it has to offer to `createPlacement`. */
  resources: optional(Resources),
})
export type MemberEntry = Infer<typeof MemberEntry>

export const Loss = struct({ member: text, incarnation: integer, cause: text })
export type Loss = Infer<typeof Loss>

const Reason = struct({
  type: literal('stopped', 'crashed', 'unreachable', 'never-existed'),
  cause: optional(text),
})

export const SystemSignal = union({
  watch: { id: integer, path: text, incarnation: optional(integer) },
  /** Which life is being watched. */
  watched: { id: integer, incarnation: integer },
  unwatch: { id: integer },
  down: { id: integer, incarnation: integer, reason: Reason },
  /** An ask that gets no reply. */
  refused: {
    slot: integer,
    failure: literal('died', 'unreachable', 'overloaded', 'refused'),
    cause: text,
  },
  /** The ask is with another actor now: its end, or its member's loss, is the answer. */
  forwarded: { slot: integer, member: text, path: text },
  /** An asker that waits no longer. */
  cancel: { slot: integer },
  /** From control: who is there and who is gone. */
  members: { joined: list(MemberEntry, 4_096), lost: list(Loss, 4_096) },
  /** The sender stops; it will not come back in this life. */
  leave: {},
})
export type SystemSignal = Infer<typeof SystemSignal>

export const SYSTEM_PATH = '/'
