// How the network of a run is cut into subnetwork actors: where, and which part of the flat vector and which
// shards each has.
import { estimateCosts } from '../../models/networks/costs.ts'
import type { ImageNetwork } from '../../models/networks/image-network.ts'
import {
  type PartitionPlan,
  planPartition,
  type SubnetworkCost,
} from '../../models/networks/partition.ts'
import { elementCount } from '../../protocol/tensor.ts'

export interface CutNetwork {
  readonly plan: PartitionPlan
  /** Parameters of each part, in the order of the flat vector. */
  readonly lengths: readonly number[]
}

/** Bytes that a link between two processes of one machine carries in a millisecond, copies included. */
const BYTES_PER_MS = 500_000

export function cutNetwork(
  network: ImageNetwork,
  options: {
    readonly parts: number
    /** Images of a micro-batch. */
    readonly batch: number
    /** As measured; absent: estimated. */
    readonly costs?: readonly SubnetworkCost[]
  },
): CutNetwork {
  const { parts, batch, costs = estimateCosts(network, batch) } = options
  const plan = planPartition({ costs, parts, bytesPerMs: BYTES_PER_MS })
  const lengths = plan.parts.map(({ from, to }) =>
    network.parameters
      .filter(({ subnetwork }) => subnetwork >= from && subnetwork < to)
      .reduce((sum, { shape }) => sum + elementCount(shape), 0),
  )
  return { plan, lengths }
}
