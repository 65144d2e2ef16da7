// What a subnetwork actor is told when it starts.
import { subnetworkRef } from '../../protocol/pipeline.ts'
import {
  flag,
  type Infer,
  list,
  literal,
  plain,
  ref,
  struct,
  text,
  u32,
} from '../../protocol/schema.ts'
import type { ShardMessage, SourceMessage } from '../../protocol/training.ts'

export const SubnetworkConfig = struct({
  /** Its process: what the shards of its range know it as, and the source the first one. */
  name: text,
  incarnation: u32,
  /** Place in the replica; 0 is the head. */
  subnetwork: u32,
  /** All of the replica, itself among them. */
  subnetworks: list(subnetworkRef),
  source: ref<SourceMessage>(),
  /** Those of its own range, which they fill, in places of the whole vector. */
  shards: list(struct({ ref: ref<ShardMessage>(), offset: u32, length: u32 })),
  /** Minibatches that the replica may have in flight. */
  lanes: u32,
  /** Micro-batches of a minibatch. */
  micros: u32,
  /** Nobody pushes before everybody's gradient is whole, and a step pulls when it begins: hard-sync. */
  isInStep: flag,
  /** A micro-batch that computes longer ends the process: its compute thread hangs. */
  stepMsMax: u32,
  codec: literal('float32', 'float16', 'int8'),
  /** Handed to the compute thread's `open`. */
  task: plain,
})
export type SubnetworkConfig = Infer<typeof SubnetworkConfig>
