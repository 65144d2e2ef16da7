// What the subnetworks of a replica say to each other. Activations go forward and gradients come back along
// the same refs; the first subnetwork, the head, speaks for the replica: it takes steps from the source,
// and reports them finished when every subnetwork has had its pushes acknowledged.
//
// Every message names the *attempt* it belongs to. When a subnetwork dies the head begins the next attempt:
// what is in flight is dropped everywhere, and the steps are computed again from the start.
import {
  type Infer,
  integer,
  literal,
  number,
  plain,
  ref,
  replyTo,
  struct,
  tensor,
  text,
  u32,
  union,
} from './schema.ts'
import { StepKind } from './training.ts'

/** A minibatch on its way: a step that is refused as stale goes through again, as another pass. */
const inPass = { attempt: integer, pass: u32 }

/** What one subnetwork has to say of a pass when its shards have answered. */
export const Settled = struct({
  verdict: literal('taken', 'again', 'moot'),
  examples: number,
  /** Of the heads in this subnetwork, mean over the examples; 0 where it has none. */
  loss: number,
  computeMs: number,
  nonFinite: number,
})
export type Settled = Infer<typeof Settled>

export const SubnetworkMessage = union({
  /** From the head: forget all of former attempts. Said again until it is answered. */
  join: { attempt: integer },
  joined: { attempt: integer, subnetwork: u32 },
  /** From the head: everybody has joined. */
  start: { attempt: integer },
  begin: { ...inPass, phase: u32, sequence: u32, kind: StepKind, configuration: plain },
  forward: { ...inPass, micro: u32, activations: tensor },
  backward: { ...inPass, micro: u32, gradient: tensor },
  /** To the head: the gradient of the minibatch is whole. In step: it is pushed when all have theirs. */
  ready: { ...inPass, subnetwork: u32 },
  push: inPass,
  settled: { ...inPass, subnetwork: u32, settled: Settled },
  /** To the head: this attempt cannot go on. */
  broken: { attempt: integer, cause: text },
  status: { replyTo: replyTo<SubnetworkStatus>() },
  timeline: { replyTo: replyTo<StageTimeline>() },
  /** For chaos: the compute thread loses its device, or hangs. */
  fail: { how: literal('fault', 'hang') },
})
export type SubnetworkMessage = Infer<typeof SubnetworkMessage>

export interface SubnetworkStatus {
  readonly attempt: number
  /** Minibatches in flight here. */
  readonly passes: number
  /** Most micro-batches that were ever stashed at a time. */
  readonly stashedMax: number
  /** Copies of the parameters that were ever held at a time. */
  readonly copies: number
}

/** What a stage did lately, in milliseconds of its own clock. */
export interface StageTimeline {
  readonly now: number
  /** Milliseconds since 1970, of `now`. */
  readonly wallTime: number
  /** From when on it remembers everything. */
  readonly since: number
  /** Four numbers each: kind, minibatch, from, to. */
  readonly spans: readonly number[]
}

export const subnetworkRef = ref<SubnetworkMessage>()

/** Attempts count up, also across the lives of a head. */
export function attemptOf(incarnation: number, count: number): number {
  return incarnation * 2 ** 32 + count
}
